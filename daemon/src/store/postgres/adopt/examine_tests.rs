//! The examination of made-up catalogues: what fits, what is asked, what stands in the way.

use ryzed_adapters::{Kind, Sort, TableRules, Travel};

use super::super::columns::sort;
use super::super::facts::{ForeignKey, Pointer, Server};
use super::*;

fn server() -> Server {
    Server {
        version: "15".into(),
        user: "me".into(),
        database: "app".into(),
        may_make_schema: true,
        has_role: false,
        may_make_role: true,
        may_take_role: true,
        may_be_authenticated: true,
        has_auth: true,
        has_uid: true,
        auth_is_open: true,
        auth_is_of_authenticated: false,
    }
}

fn column(name: &str, base: &str) -> FoundColumn {
    FoundColumn {
        name: name.into(),
        sql_type: base.into(),
        base: base.into(),
        labels: Vec::new(),
        is_label_list: false,
        longest: None,
        nullable: true,
        default: None,
        is_generated: false,
        is_counted: false,
    }
}

fn relation(name: &str, columns: &[(&str, &str)]) -> Relation {
    Relation {
        schema: "public".into(),
        name: name.into(),
        kind: "r".into(),
        is_part: false,
        is_ours: true,
        is_reachable: true,
        has_rls: true,
        forces_rls: false,
        restrictive: 0,
        narrow_authenticated: 0,
        for_everybody: 0,
        for_authenticated: 0,
        for_others: 0,
        rights: None,
        rows: 10,
        has_key: true,
        columns: columns.iter().map(|(name, base)| column(name, base)).collect(),
        keys: Vec::new(),
        pointers: Vec::new(),
    }
}

fn seen(relations: Vec<Relation>, naming: &Naming) -> Examined {
    examine(&Registry::standard(), &Facts { server: server(), relations }, naming)
}

fn of<'e>(examined: &'e Examined, table: &str) -> &'e TableReport {
    examined.tables.iter().find(|report| report.table == table).unwrap()
}

fn mapped(table: &str, columns: &[(&str, &str)]) -> Naming {
    let columns = columns.iter().map(|(wire, physical)| ((*wire).to_owned(), (*physical).to_owned())).collect();
    Naming::from([(table.to_owned(), TableNaming { columns, ..TableNaming::of(table) })])
}

#[test]
fn a_table_that_is_not_there_is_not_served() {
    let examined = seen(vec![relation("foods", &[("id", "uuid"), ("user_id", "uuid")])], &Naming::new());
    assert_eq!(of(&examined, "recipes").verdict, Verdict::Absent);
    assert_eq!(of(&examined, "foods").verdict, Verdict::Fits);
    assert!(!examined.is_stopped());
    let served = examined.layout.fit(&Registry::standard());
    assert_eq!(served.iter().map(|table| table.name).collect::<Vec<_>>(), ["foods"]);
    assert!(seen(Vec::new(), &Naming::new()).is_stopped(), "nothing to sync is no adoption");
}

#[test]
fn an_owner_is_never_guessed() {
    let foods = || relation("foods", &[("id", "uuid"), ("created_by", "uuid"), ("supplier", "uuid")]);
    let examined = seen(vec![foods()], &Naming::new());
    let problem = &of(&examined, "foods").problems[0];
    assert!(problem.contains("columns = { user_id = \"created_by\" }") && !problem.contains("supplier"), "{problem}");
    let examined = seen(vec![foods()], &mapped("foods", &[("user_id", "created_by")]));
    assert_eq!(of(&examined, "foods").mapped, [("user_id".to_owned(), "created_by".to_owned())]);
    assert_eq!(examined.layout.of("foods").unwrap().physical("user_id"), "created_by");
    let nobody = seen(vec![relation("foods", &[("id", "uuid")])], &Naming::new());
    assert!(of(&nobody, "foods").problems[0].contains("skip = true"));
}

#[test]
fn a_foreign_key_tells_which_column_may_be_the_parent() {
    let sessions = relation("workout_sessions", &[("id", "uuid"), ("user_id", "uuid")]);
    let mut exercises = relation("workout_exercises", &[("id", "uuid"), ("coach", "uuid"), ("visit", "uuid")]);
    exercises.keys.push(ForeignKey {
        column: "visit".into(),
        schema: "public".into(),
        name: "workout_sessions".into(),
        is_enforced_immediately: true,
    });
    let examined = seen(vec![sessions, exercises], &Naming::new());
    let problem = &of(&examined, "workout_exercises").problems[0];
    assert!(problem.contains("columns = { session_id = \"visit\" }") && !problem.contains("coach"), "{problem}");
}

#[test]
fn a_child_needs_its_parent() {
    let exercises = relation("workout_exercises", &[("id", "uuid"), ("session_id", "uuid")]);
    let examined = seen(vec![exercises], &Naming::new());
    assert_eq!(of(&examined, "workout_exercises").verdict, Verdict::Unfit);
    assert!(of(&examined, "workout_exercises").problems[0].contains("workout_sessions"));
}

#[test]
fn types_are_tolerated_as_far_as_values_mean_the_same() {
    for (kind, good, bad) in [
        (Kind::Number, &["numeric", "float8", "int8"][..], &["text", "money"][..]),
        (Kind::Integer, &["int2", "int8", "numeric"], &["float8", "text"]),
        (Kind::Text, &["text", "varchar", "citext"], &["uuid", "int4"]),
        (Kind::Time, &["timestamptz"], &["timestamp", "date", "text"]),
        (Kind::Uuid, &["uuid"], &["text", "int8"]),
        (Kind::TextList, &["_text", "_varchar", "jsonb"], &["text", "_int4"]),
        (Kind::Json, &["jsonb", "json"], &["text"]),
        (Kind::Bool, &["bool"], &["int4"]),
    ] {
        for base in good {
            assert!(tolerates(kind, &column("c", base)), "{kind:?} in {base}");
        }
        for base in bad {
            assert!(!tolerates(kind, &column("c", base)), "{kind:?} in {base}");
        }
    }
    let meal = FoundColumn { labels: vec!["lunch".into()], ..column("meal_type", "meal") };
    assert!(tolerates(Kind::Text, &meal));
}

#[test]
fn what_a_column_of_another_type_means_is_said() {
    let columns =
        [("id", "uuid"), ("user_id", "uuid"), ("consumed_at", "timestamp"), ("unit", "int4"), ("aroma", "_int4")];
    let examined = seen(vec![relation("food_entries", &columns)], &Naming::new());
    let report = of(&examined, "food_entries");
    let missing = |name: &str| report.missing.iter().find(|(missing, _)| missing == name).unwrap().1.as_str();
    assert!(missing("consumed_at").contains("AT TIME ZONE 'UTC'") && missing("consumed_at").contains("unknown_field"));
    assert!(missing("unit").starts_with("is int4, not text"));
    assert_eq!(report.extra, [("aroma".to_owned(), "_int4".to_owned())]);
    let names: Vec<&str> = examined.layout.tables[0].columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["id", "user_id", "aroma"]);
}

#[test]
fn a_name_that_is_taken_is_not_another_columns() {
    let columns = [("id", "uuid"), ("created_by", "uuid"), ("user_id", "uuid"), ("_version", "int4")];
    let examined = seen(vec![relation("foods", &columns)], &mapped("foods", &[("user_id", "created_by")]));
    let report = of(&examined, "foods");
    assert!(report.extra.is_empty(), "{:?}", report.extra);
    assert_eq!(report.notes.iter().filter(|note| note.contains("its name means something else")).count(), 2);
    // Two columns that have each other's names.
    let columns = [("id", "uuid"), ("user_id", "uuid"), ("name_en", "text"), ("name_fr", "text")];
    let swap = mapped("foods", &[("name_en", "name_fr"), ("name_fr", "name_en")]);
    let examined = seen(vec![relation("foods", &columns)], &swap);
    assert_eq!(of(&examined, "foods").mapped.len(), 2);
    assert_eq!(examined.layout.tables[0].at("name_fr").unwrap().name, "name_en");
}

#[test]
fn what_the_database_decides_is_read_only() {
    let mut foods = relation("foods", &[("id", "uuid"), ("user_id", "uuid"), ("slug", "text"), ("number", "int8")]);
    foods.columns[2].is_generated = true;
    foods.columns[3].is_counted = true;
    let examined = seen(vec![foods], &Naming::new());
    let place = &examined.layout.tables[0];
    assert!(place.at("slug").unwrap().read_only && place.at("number").unwrap().read_only);
}

fn points(column: &str, name: &str, there: &str) -> Pointer {
    Pointer { column: column.into(), schema: "public".into(), name: name.into(), there: there.into() }
}

fn said<'r>(list: &'r [(String, String)], name: &str) -> &'r str {
    list.iter().find(|(column, _)| column == name).map_or("", |(_, what)| what)
}

#[test]
fn references_lead_to_what_is_seen_or_nowhere() {
    let columns = [
        ("id", "uuid"),
        ("user_id", "uuid"),
        ("tenant", "uuid"),
        ("parent", "uuid"),
        ("recipe", "uuid"),
        ("coach", "uuid"),
        ("label", "text"),
        ("part", "uuid"),
        ("both", "uuid"),
    ];
    let mut foods = relation("foods", &columns);
    foods.pointers = vec![
        points("user_id", "accounts", "id"),
        points("tenant", "tenants", "id"),
        points("tenant", "foods", "tenant"),
        points("parent", "foods", "id"),
        points("recipe", "recipes", "id"),
        points("coach", "accounts", "id"),
        points("label", "recipes", "label"),
        points("part", "foods", "id"),
        points("part", "parts", "food"),
        points("both", "foods", "id"),
        points("both", "recipes", "id"),
    ];
    let recipes = relation("recipes", &[("id", "uuid"), ("user_id", "uuid"), ("label", "text")]);
    let examined = seen(vec![foods, recipes], &Naming::new());
    let place = examined.layout.of("foods").unwrap();
    let travel = |name: &str| place.at(name).unwrap().travel.clone();
    assert_eq!(travel("user_id"), Travel::default(), "whose a row is, is checked as ever");
    assert_eq!(travel("parent").references.as_deref(), Some("foods"));
    assert_eq!(travel("recipe").references.as_deref(), Some("recipes"), "also of a table that comes later");
    assert_eq!(travel("coach").references.as_deref(), Some("users"), "where people's ids are");
    let report = of(&examined, "foods");
    assert!(said(&report.read_only, "tenant").contains("refers to public.tenants"), "{:?}", report.read_only);
    assert!(said(&report.read_only, "label").contains("by another column than id"), "{:?}", report.read_only);
    assert!(said(&report.read_only, "part").contains("refers to public.parts"), "what leads out counts most");
    assert!(!said(&report.read_only, "both").is_empty(), "two tables at once can't be looked at");
    let served = examined.layout.fit(&Registry::standard());
    let foods = served.get("foods").unwrap();
    assert!(foods.column("tenant").unwrap().read_only && !foods.column("coach").unwrap().read_only);
    assert_eq!(
        foods.references().collect::<Vec<_>>(),
        [("coach", "users"), ("parent", "foods"), ("recipe", "recipes")]
    );
    // Where that table is left alone, it is as if it were none.
    let skipped = Naming::from([("recipes".to_owned(), TableNaming { skip: true, ..TableNaming::of("recipes") })]);
    let mut foods = relation("foods", &columns);
    foods.pointers = vec![points("recipe", "recipes", "id")];
    let examined = seen(vec![foods, relation("recipes", &[("id", "uuid"), ("user_id", "uuid")])], &skipped);
    assert!(
        said(&of(&examined, "foods").read_only, "recipe").contains("refers to public.recipes, which is not synced")
    );
}

#[test]
fn types_that_are_not_known_stay_home() {
    let known =
        "uuid timestamptz date interval int2 int8 numeric float4 money bool text varchar citext jsonb _text _int4 inet";
    for base in known.split(' ') {
        assert_ne!(sort(&column("c", base)), Sort::Unknown, "{base}");
    }
    for base in
        "bytea dose int4range tstzrange vector geometry hstore ltree tsvector xml _dose _bytea pg_lsn".split(' ')
    {
        assert_eq!(sort(&column("c", base)), Sort::Unknown, "{base}");
    }
    assert_eq!(sort(&FoundColumn { labels: vec!["a".into()], ..column("c", "mood") }), Sort::Text);
}

#[test]
fn which_way_a_column_travels_is_no_other_table() {
    let columns = [("id", "uuid"), ("user_id", "uuid"), ("note", "text")];
    let before = seen(vec![relation("foods", &columns)], &Naming::new()).layout;
    let rules = TableRules { hidden: ["note".to_owned()].into(), ..TableRules::default() };
    let naming = Naming::from([("foods".to_owned(), TableNaming { rules, ..TableNaming::of("foods") })]);
    let after = seen(vec![relation("foods", &columns)], &naming).layout;
    assert!(after.of("foods").unwrap().at("note").unwrap().travel.home.is_some());
    assert!(
        !after.of("foods").unwrap().has_other_columns(before.of("foods").unwrap()),
        "nothing has to be adopted again"
    );
}

#[test]
fn what_stands_in_the_way_of_all_tables_is_said() {
    let relations = vec![relation("foods", &[("id", "uuid"), ("user_id", "uuid")])];
    let locked = Server { may_make_schema: false, may_make_role: false, auth_is_open: false, ..server() };
    let examined =
        examine(&Registry::standard(), &Facts { server: locked, relations: relations.clone() }, &Naming::new());
    assert_eq!(examined.problems.len(), 3, "{:?}", examined.problems);
    assert!(examined.is_stopped());
    let forced = Relation { forces_rls: true, ..relations[0].clone() };
    assert!(of(&seen(vec![forced], &Naming::new()), "foods").problems[0].contains("NO FORCE ROW LEVEL SECURITY"));
    let elsewhere = Relation { schema: "app".into(), ..relations[0].clone() };
    let examined = seen(vec![elsewhere], &Naming::new());
    assert!(of(&examined, "foods").notes[0].contains("relation = \"app.foods\""), "{:?}", of(&examined, "foods"));
}

#[test]
fn a_changed_table_is_noticed() {
    let columns = [("id", "uuid"), ("user_id", "uuid"), ("stock", "int4"), ("shelf", "text")];
    let foods = |relation: Relation| seen(vec![relation], &Naming::new()).layout.of("foods").cloned().unwrap();
    let before = foods(relation("foods", &columns));
    assert!(!before.has_other_columns(&before));
    for changed in
        [("stock", "int8"), ("shelf", "text"), ("row", "text")].map(|other| [columns[0], columns[1], columns[2], other])
    {
        assert_eq!(foods(relation("foods", &changed)).has_other_columns(&before), changed != columns, "{changed:?}");
    }
    // A default is read at each start.
    let mut with_default = relation("foods", &columns);
    with_default.columns[3].default = Some("'a'".into());
    let one = foods(with_default.clone());
    with_default.columns[3].default = Some("'b'".into());
    assert!(!foods(with_default).has_other_columns(&one));
}
