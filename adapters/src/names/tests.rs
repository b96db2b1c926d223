//! Names as applications have them, and what each gives away.

use super::Sort::{Id, Moment, Number, Structure, Switch, Text};
use super::*;
use crate::Registry;

fn all(sort: Sort, names: &str) -> impl Iterator<Item = (&str, Option<Meaning>)> {
    names.split_whitespace().map(move |name| (name, meaning(name, sort)))
}

#[test]
fn names_are_taken_apart_however_they_are_written() {
    for (name, wanted) in [
        ("password_hash", "password hash"),
        ("passwordHash", "password hash"),
        ("PasswordHash", "password hash"),
        ("PASSWORD_HASH", "password hash"),
        ("Password Hash", "password hash"),
        ("HTTPToken", "http token"),
        ("apiKey2", "api key 2"),
        ("2faSecret", "2 fa secret"),
        ("isAdmin", "is admin"),
        ("__x--y", "x y"),
        ("", ""),
        ("Größe_Ä", "größe ä"),
    ] {
        assert_eq!(words(name).join(" "), wanted, "{name}");
    }
}

#[test]
fn secrets_are_known_by_their_names() {
    let secrets = "password PASSWORD passwordHash password_hash hashed_password encrypted_password crypted_password userPassword passwd \
        password_digest passwordhash pwd pass pass_word passphrase secret client_secret clientSecret webhooksecret two_factor_secret \
        twoFactorSecret two_factor_recovery_codes 2fa_secret tfa_secret otp_secret otp_backup_codes totp mfaSecret recovery_codes \
        backupCodes token TOKEN remember_token api_token accessToken accesstoken refresh_token reset_password_token confirmation_token \
        session_tokens token_hash device_token_1 key api_key apiKey apikey API_KEY stripe_key secret_key private_key privateKey \
        encryption_key ssh_key image_api_key license_key password_salt salt pin pin_code pinHash key_hash email_hash sha_digest \
        credentials aws_credentials jwt csrf_token cookie session_data verification_code invite_code magic_link ssn \
        social_security_number tax_id passport_number iban card_number cardNumber cvv encrypted_notes notes_ciphertext \
        webauthn_id security_answer tokens Passwort mot_de_passe";
    for (name, found) in all(Text, secrets) {
        assert_eq!(found, Some(Meaning::Secret), "{name}");
    }
    for (name, sort) in [
        ("pin", Number),
        ("otp_code", Number),
        ("token", Number),
        ("token", Id),
        ("mfa_enabled", Switch),
        ("password_changed_at", Moment),
        ("tokens", Structure),
    ] {
        assert_eq!(meaning(name, sort), Some(Meaning::Secret), "{name}");
    }
}

#[test]
fn rights_and_money_are_known_by_their_names() {
    let rights = "role roles ROLE userRole user_role is_admin isAdmin isadmin admin superadmin is_superuser is_staff staff moderator \
        is_moderator can_edit canPublish permissions user_permissions permission_level privileges acl claims scopes rights access_level \
        email_verified emailVerifiedAt verified is_verified phone_verified_at approved approved_by approval_status approvedBy confirmed \
        confirmed_at certified is_trusted kyc_level banned banned_until suspended entitlements app_metadata feature_flags";
    for (name, found) in all(Switch, rights) {
        assert_eq!(found, Some(Meaning::Right), "{name}");
    }
    assert_eq!(meaning("canshare", Switch), Some(Meaning::Right));
    let money = "plan plan_id planType subscription_plan billing_plan tier subscription_status membership_level trial_ends_at is_premium premium \
        is_pro pro vip paid is_paid paid_until payment_status stripe_customer_id billing_address invoice_no price prices unit_price price_cents \
        priceCents balance account_balance credit credits credit_limit discount coupon_code quota wallet refunded_at";
    for (name, found) in all(Number, money) {
        assert_eq!(found, Some(Meaning::Money), "{name}");
    }
}

#[test]
fn tenants_and_people_are_known_by_their_names() {
    for (name, found) in all(
        Id,
        "tenant_id tenantId tenant organization_id organisationId org_id company_id workspace_id team_id current_team_id account_id gym_id",
    ) {
        assert_eq!(found, Some(Meaning::Tenant), "{name}");
    }
    for (name, found) in all(
        Id,
        "member_id ownerId coach_id created_by createdBy updated_by assigned_to author reviewed_by_id other_user_id userid",
    ) {
        assert_eq!(found, Some(Meaning::Person), "{name}");
    }
}

#[test]
fn ordinary_columns_of_a_fitness_app_are_left_alone() {
    let texts = "key_signature tokenized_text token_count max_tokens_used price_range price_level secretary secretion_rate sort_key \
        translation_key i18n_key image_key blur_hash geohash blurhash monkey turkey whiskey hash_browns mapPin muscle_role ingredient_role \
        administration_route administered_at can_size canned cancelled meal_plan workout_plan planned_for training_plan_id \
        energy_balance balance_score muscle_balance photo_credit status phase passed compass passing_grade bypass \
        owner_notes made_by group_id superset_id category tags side right_reps is_right notes mood slug barcode brand device_id client_id";
    for (name, found) in all(Text, texts) {
        assert_eq!(found, None, "{name}");
    }
    for (name, sort) in [
        ("salt", Number),
        ("salt_g", Number),
        ("tokens", Number),
        ("tokens_used", Number),
        ("email_digest", Switch),
        ("date_key", Number),
        ("can_volume", Number),
        ("cans", Number),
        ("cancelled", Switch),
        ("canned", Switch),
        ("is_encrypted", Switch),
        ("token_expires_at", Moment),
        ("score", Number),
    ] {
        assert_eq!(meaning(name, sort), None, "{name}");
    }
}

/// The tables' own columns are not judged; that none of them would be is a test of the lists.
#[test]
fn no_column_of_the_fifteen_has_a_meaning() {
    for table in Registry::standard().iter() {
        for column in table.columns.iter().filter(|column| column.name != "user_id") {
            assert_eq!(meaning(&column.name, Text), None, "{}.{}", table.name, column.name);
        }
    }
}
