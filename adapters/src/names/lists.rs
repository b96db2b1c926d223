//! The words that give a column away. Each line is a kind; what is on none of them is an ordinary column.

use super::Sort;
use Sort::{Id, Moment, Number, Switch, Text};

/// Names that mean something.
#[derive(Debug)]
pub(super) struct Rule {
    /// Patterns of words, parted by commas; see [`super::matches`].
    pub patterns: &'static str,
    /// Words beside which they mean something else.
    pub unless: &'static str,
    /// The sorts of column that they mean it in; none is all.
    pub only: &'static [Sort],
    /// The sorts of column that they don't mean it in.
    pub not: &'static [Sort],
}

const fn rule(patterns: &'static str) -> Rule {
    Rule { patterns, unless: "", only: &[], not: &[] }
}

impl Rule {
    const fn unless(self, unless: &'static str) -> Self {
        Self { unless, ..self }
    }

    const fn only(self, only: &'static [Sort]) -> Self {
        Self { only, ..self }
    }

    const fn not(self, not: &'static [Sort]) -> Self {
        Self { not, ..self }
    }
}

/// Words for secrets: proofs of identity, and keys.
pub(super) const SECRETS: &[Rule] = &[
    rule("*password*, *passwd*, *passphrase*, *passcode*, *passkey*, pass word, pass phrase, pass code, pass key, pwd, *pwdhash"),
    rule("*passwort*, *kennwort*, mot de passe, *motdepasse*, contrasena, contraseña, senha, wachtwoord"),
    rule("^pass$").only(&[Text]),
    rule("*secret*").unless("secretar* secreti* secrete*"),
    rule("*credential*, *privatekey*, *apikey*, *secretkey*, *accesskey*, *authkey*, *keypair*, key pair, *keystore*, pem, jwt"),
    rule("otp, totp, hotp, mfa, tfa, *twofactor*, two factor, 2 fa, second factor, webauthn, fido"),
    rule("recovery code, backup code, recovery key, *recoverycode*, *backupcode*, recovery phrase, seed phrase, mnemonic"),
    rule("security code, security question, security answer, magic link, remember me"),
    rule("verification code, confirmation code, activation code, reset code, login code, access code, auth code, invite code, invitation code, sms code")
        .not(&[Moment]),
    rule("*crypted, *cipher, *ciphertext, bcrypt, argon, hmac, nonce").not(&[Switch, Moment]),
    // What a table counts as tokens is a number, and a number alone may be a code.
    rule("*token$").not(&[Switch, Moment]).unless("tokens"),
    rule("tokens$").not(&[Switch, Moment, Number]),
    rule("*token hash, *token digest, *token encrypted, *token ciphertext").not(&[Switch, Moment]),
    rule(
        "api key, private key, access key, secret key, auth key, encryption key, signing key, license key, licence key, ssh key, gpg key, \
         master key, session key, webhook key, server key, consumer key, client key, service key",
    )
    .not(&[Switch, Moment]),
    rule("key$").not(&[Switch, Moment, Number]).unless(
        "primary foreign sort order partition translation locale i lang cache group natural idempotency dedupe musical music song image \
         photo picture file media video thumbnail icon",
    ),
    rule("hash$, digest$, *passhash, *pwhash, *userhash")
        .not(&[Switch, Moment, Number])
        .unless("blur geo content file image photo thumbnail perceptual commit git"),
    // The grams in a food are a number.
    rule("salt$").not(&[Switch, Moment, Number]).unless("sea table"),
    rule("pin$, pin code, pin hash").not(&[Switch, Moment]).unless("map firing rolling"),
    rule("csrf, xsrf, cookie$, session data, auth data").unless("chocolate").not(&[Switch, Moment, Number]),
    // What says who somebody is, or opens their purse.
    rule("ssn, social security, national id, national insurance, tax id, tax number, passport, driver license, driving license"),
    rule("cvv, cvc, iban, card number, card no, account number, routing number, *cardnumber"),
];

/// Words for rights, and for what others vouch for.
pub(super) const RIGHTS: &[Rule] = &[
    rule("role, userrole, accountrole, memberrole").unless("muscle ingredient dish meal exercise food set movement"),
    rule(
        "admin, *isadmin, superadmin, sysadmin, administrator, *superuser, super user, *isstaff, staff, *moderator, sudo, is owner, isowner, impersonat*",
    ),
    rule("^can").unless("cans size volume weight count opener type content ml g oz material height number quantity"),
    rule("^can*").only(&[Switch]).unless("canc* cann* cand* cane cant cans"),
    rule(
        "*permission*, *privilege*, acl, *entitlement*, capability, capabilities, claims, rights, scopes, abilities, clearance",
    ),
    rule(
        "access level, access right, access control, security level, feature flag, app metadata, app meta, app meta data",
    ),
    rule(
        "*verified*, verification, *approved*, approval, confirmed, *isconfirmed, vetted, certified, accredited, *trusted, kyc, *moderated, moderation",
    ),
    rule("banned, *isbanned, suspended, *issuspended, blacklist*, whitelist*, allowlist*, denylist*"),
    rule("account status, user status, member status, membership status, review status, is active user"),
];

/// Words for payments, and for the means of paying.
pub(super) const MONEY: &[Rule] = &[
    rule("premium, *ispremium, vip, ^pro$, is pro, *ispro, paid, *ispaid, prepaid, unpaid"),
    rule("plan").unless(
        "workout training meal diet nutrition exercise hiit cardio lesson week weekly day daily fasting run running race recovery \
         fitness program programme menu season food eating sleep note",
    ),
    rule("tier, *subscription*, membership, trial end, trial until, trial expire*, trial start*, trial day, is trial, on trial"),
    rule("billing, *invoice*, *payment*, stripe, paypal, braintree, paddle, payout, refund*, wallet, salary, commission, coupon, discount*, fee, quota"),
    rule("*price, pricing, *pricecents").unless("range level category class band"),
    rule("balance").unless(
        "energy muscle water fluid nitrogen caloric calorie work body left right power ball board score training exercise test \
         stance electrolyte hormone",
    ),
    rule("credit, *creditlimit").unless("photo image picture video author recipe source"),
];

/// In whose books a row is.
pub(super) const TENANTS: &[Rule] = &[
    rule("tenant, *tenantid, ^organization$, ^organisation$, ^org$, ^workspace$, ^team$, ^account$, realm"),
    rule(
        "organization id$, organisation id$, org id$, company id$, workspace id$, team id$, account id$, club id$, gym id$, studio id$, \
         clinic id$, school id$, department id$, branch id$, franchise id$, customer id$, partner id$, merchant id$, \
         organizationid$, organisationid$, orgid$, companyid$, workspaceid$, teamid$, accountid$, customerid$",
    ),
    rule(
        "organization uuid$, organisation uuid$, org uuid$, company uuid$, workspace uuid$, team uuid$, account uuid$",
    ),
];

/// Words for people. The owner's column is known by the adapters, and is not judged.
pub(super) const PEOPLE: &[Rule] = &[
    rule(
        "user id$, member id$, owner id$, author id$, creator id$, coach id$, trainer id$, instructor id$, employee id$, manager id$, \
         patient id$, profile id$, person id$, athlete id$, assignee id$, reviewer id$, approver id$, sender id$, recipient id$, \
         follower id$, friend id$, userid$, memberid$, ownerid$, authorid$, coachid$, trainerid$, profileid$, createdbyid$, by id$",
    ),
    rule("user uuid$, member uuid$, owner uuid$, author uuid$, profile uuid$, person uuid$"),
    rule("by$, ^owner$, ^author$, ^creator$, ^coach$, ^trainer$, ^member$, *createdby$, *updatedby$, *assignedto$, assigned to$")
        .only(&[Id, Number]),
];
