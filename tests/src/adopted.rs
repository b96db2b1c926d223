//! An application's database, made by `tests/adopted/schema.sql`, as its application and its operator see it.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use uuid::Uuid;

use crate::daemon::{bare_command, binary};
use crate::postgres::{self, Cluster, psql};
use crate::{Account, Builder, Daemon, Person, Ran};

/// An application's database, and a folder to run commands in.
#[derive(Debug)]
pub struct Application {
    /// The database's URL.
    pub url: String,
    folder: TempDir,
}

impl Application {
    /// An application with so many people; each has about 1,000 rows. Its tables are named in `ryzed.toml`.
    #[must_use]
    pub fn with_people(people: u32) -> Self {
        Self::at(postgres::new_database(), people)
    }

    /// The same application on a server of its own.
    #[must_use]
    pub fn on(cluster: &Cluster, people: u32) -> Self {
        Self::at(cluster.new_database(), people)
    }

    /// An application that these statements make, with this configuration.
    #[must_use]
    pub fn made_by(url: String, statements: &str, configuration: &str) -> Self {
        let application = Self { url, folder: tempfile::tempdir().expect("a folder") };
        application.sql(statements);
        application.configure(configuration);
        application
    }

    /// The same application, owned by a role that is no superuser, as on a hosted server.
    #[must_use]
    pub fn of_an_ordinary_owner_on(cluster: &Cluster, people: u32) -> Self {
        let url = cluster.new_database();
        let database = url.rsplit('/').next().expect("a name").to_owned();
        let made = format!(
            "CREATE ROLE owner_{database} LOGIN CREATEROLE; ALTER DATABASE {database} OWNER TO owner_{database}"
        );
        psql(&url, &made).unwrap_or_else(|error| panic!("{error}"));
        Self::at(url.replace("postgres@", &format!("owner_{database}@")), people)
    }

    fn at(url: String, people: u32) -> Self {
        postgres::psql_file(&url, "schema.sql", &[("scale", people)]).unwrap_or_else(|error| panic!("{error}"));
        let application = Self { url, folder: tempfile::tempdir().expect("a folder") };
        application.configure(include_str!("../adopted/ryzed.toml"));
        application
    }

    /// Says how the tables are named.
    pub fn configure(&self, tables: &str) {
        std::fs::write(self.folder.path().join("ryzed.toml"), tables).expect("a file");
    }

    /// The configuration file for it.
    #[must_use]
    pub fn configuration(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("ryzed.toml")).expect("a file")
    }

    /// Runs SQL as the owner.
    pub fn sql(&self, statements: &str) -> String {
        psql(&self.url, statements).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Runs SQL as the application does for a person: in its role, with the person's claims.
    ///
    /// # Errors
    /// What the server complains of.
    pub fn as_person(&self, person: Uuid, statements: &str) -> Result<String, String> {
        psql(
            &self.url,
            &format!(
                "BEGIN; SET LOCAL ROLE authenticated; SELECT set_config('request.jwt.claims', '{{\"sub\":\"{person}\"}}', true) \\gset\n\
                 {statements}; COMMIT"
            ),
        )
    }

    /// The application's user of this number, from 1.
    #[must_use]
    pub fn user(&self, number: u32) -> Uuid {
        self.id("user", number)
    }

    /// The id of the row of this kind and number.
    #[must_use]
    pub fn id(&self, kind: &str, number: u32) -> Uuid {
        self.sql(&format!("SELECT md5('{kind} {number}')::uuid")).parse().expect("a UUID")
    }

    /// Runs `ryzed` to its end.
    #[must_use]
    pub fn ryzed(&self, arguments: &[&str]) -> Ran {
        Ran::of(&mut self.command(arguments))
    }

    /// Starts `ryzed`; what it says goes to the file `said` of the folder.
    #[must_use]
    pub fn start(&self, arguments: &[&str]) -> Child {
        let said = std::fs::File::create(self.said()).expect("a file");
        self.command(arguments).stdout(Stdio::null()).stderr(said).spawn().expect("ryzed starts")
    }

    /// The output of a started command.
    #[must_use]
    pub fn has_said(&self) -> String {
        std::fs::read_to_string(self.said()).unwrap_or_default()
    }

    fn said(&self) -> std::path::PathBuf {
        self.folder.path().join("said")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let env = [("RYZED_DATABASE__URL".to_owned(), self.url.clone())];
        let mut command = bare_command(&binary(), self.folder.path(), &env);
        command.args(arguments);
        command
    }

    /// A daemon in the making that serves it.
    #[must_use]
    pub fn daemon(&self) -> Builder {
        let config: &Path = &self.folder.path().join("ryzed.toml");
        Daemon::builder().env("RYZED_DATABASE__URL", &self.url).env("RYZED_CONFIG", config.display())
    }

    /// The account of the application's user of this number.
    #[must_use]
    pub fn account(&self, daemon: &Daemon, number: u32) -> Account {
        daemon.account_of(Person::known(self.user(number)))
    }

    /// The rows that a query gives, each one JSON object.
    #[must_use]
    pub fn json(&self, query: &str) -> Vec<Value> {
        let rows = self.sql(&format!("SELECT row_to_json(q) FROM ({query}) q"));
        rows.lines().map(|row| serde_json::from_str(row).expect("JSON")).collect()
    }
}
