//! Every way in which a token can be wrong.

use ::ring::rand::SystemRandom;
use ::ring::rsa::KeyPair as RsaKeyPair;
use ::ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA512, RSA_PSS_SHA256,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use muster_testenv::company::Company;
use muster_tls::{Authority, OwnCertificate, ServerTls};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

/// A key of this test alone: ring makes none of RSA.
const RSA_KEY: &str = "\
MIIEvgIBADANBgkqhkiG9w0BAQEFAASCBKgwggSkAgEAAoIBAQCSp3uXvtrznodNmvQX673WFwT+aSTONqgZ15/gskJ01PGg\
GXzVqvDWUKKoz1SbGLGZd3hsQomii1rBsOjJsS0N9imutOOVi+7Qym2S8+8U+fVf2MFVT+UiwwHw13cfgjb/KGvmJvAswlUS\
yDaBZLj34R/qRptI229UxohCdkUSwj3VZBF001Yx63yntOryCs1BswLmD/ZWJvD49/1pfkHBCpw4+EBMklXdSJNT+3HJu4Sx\
bfr+a2av62iisDiZwYr8GTwZ6kM2V7M4zQSBWSFSRsy1vxpEU9iN+AN8cAbKISo6qBAQEWv2uZmIdr4BWf+iXCIu1f3A/S19\
MOE/vlrdAgMBAAECggEAJR4Elux0KBKodgjQ3LkKrAPZfLaJ3TNSKnA7g7g6P62hlf69bKq+F9ACyyzmYfbHBGuLbAMPKLeS\
edFXqayRFaaG+DPKIhBvmiKRxw68JRf6dY67p+b3vGuUsysleDER0FSfsnmKchmhRIat3OPsOLiexkGmjbMUI2W4GPIsG0ny\
HMRr/7YPkiVIhooITw4WXptGZADRXWtn4jsbs5uAlqSUFmBOT735Q0qC+uAPCtp5WMJ+8lqdPwLlNpZUBNyg5Og6anB1qNdh\
SjYTklyXv13dJHkBfkWyZIrRYnfgH5Z+17zxS2C/Lixd8drlr0Wyi7LuJzv4tqMciB76R9DI9QKBgQDDa8iZa7v8HLVHE3dy\
n6FwqsxHxnSY4JtS0WecirjrqGqXXD+DFq45fTnLRVL+mKraUCYEQQMkAOr6cUjx5afIhkt97b6A+WLHBZtSjCjrDNvnmCA0\
1LF7IK763HCq8KDZcTPoESCG9EGCXk4yoLmQRzO8Oj1/iK0T+mRXBOvZmwKBgQDAHao2NVq3SMNHcE068MGHPNnINP6w79C1\
yg0FyNIksMDR5owAXLPdYssB8YDFYLtoAtwWFpMwH19v8ep8GfgOVvsFRACqhvYIKCc/9QgNN8uoKZxF5JKwfN7CAtTUYVb6\
LzZAONEndAms6kfKHPWKJJuFZDnqarEBdiae5hcA5wKBgQCz9c4FevDieo11preZFufUmXUFo/w7zJs86RpBTn58hdujB5B1\
Z62Jw4g1aOHFE1JDOQvJXxVFUpMRjsFeAd9BCmr6zLVikEYmgUNIAUqtKmpYG/+Mp1HJ0Y9R9S7MPEvj8hua2iraHJU3OSFJ\
/jjkZK1/6SI5D+RTQYKloCKRgQKBgBXVSTrP5Xde9ZJw2NYR9myAJd/y5d8F4hpG1CQMJpW04LT6Fn8UCfzm9VtLLu8/hwzT\
BmAcQK3/YsE+JP/lk6NNj0mR6OF4ZQ2YQp2qIzgdVy/NSs1GpMUZ69bwq29XgKL+KpQx4NMzBMZ5+Z6mm+EPN/143nwdk/Au\
lUUJsSORAoGBAKlcWyOv+TIJKcP8P1UYRXY2e4bgIcYZ1ogucVF254hleUbnqybzIZJYGzqtf0hEYYe2EcykbJsUqbEuDehd\
d1m36H5FqFQ6FkY+iMsgMVOtHmaotn88aULdCp5Re4ehumRoMSIHLDK0t8wRgn9JclO8/SmLR9Aq/2nfQa+olOwd\
";

const ISSUER: &str = "https://issuer.example";
const NOW: WallTime = WallTime(1_800_000_000_000);

enum Signer {
    Rsa(Box<RsaKeyPair>),
    Ec(EcdsaKeyPair, &'static str),
    Ed(Ed25519KeyPair),
}

impl Signer {
    fn rsa() -> Signer {
        let der = base64::engine::general_purpose::STANDARD.decode(RSA_KEY).unwrap();
        Signer::Rsa(Box::new(RsaKeyPair::from_pkcs8(&der).unwrap()))
    }

    fn ec(algorithm: &'static EcdsaSigningAlgorithm, curve: &'static str) -> Signer {
        let random = SystemRandom::new();
        let der = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        Signer::Ec(EcdsaKeyPair::from_pkcs8(algorithm, der.as_ref(), &random).unwrap(), curve)
    }

    fn p256() -> Signer {
        Signer::ec(&ECDSA_P256_SHA256_FIXED_SIGNING, "P-256")
    }

    fn ed() -> Signer {
        let der = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Signer::Ed(Ed25519KeyPair::from_pkcs8(der.as_ref()).unwrap())
    }

    fn jwk(&self, id: &str) -> Value {
        match self {
            Signer::Rsa(key) => {
                let public = ::ring::rsa::PublicKeyComponents::<Vec<u8>>::from(key.public());
                let (n, e) = (BASE64.encode(public.n), BASE64.encode(public.e));
                json!({"kty": "RSA", "kid": id, "use": "sig", "n": n, "e": e})
            }
            Signer::Ec(key, curve) => {
                let point = &key.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                json!({"kty": "EC", "kid": id, "crv": curve, "x": BASE64.encode(x), "y": BASE64.encode(y)})
            }
            Signer::Ed(key) => {
                json!({"kty": "OKP", "kid": id, "crv": "Ed25519", "x": BASE64.encode(key.public_key())})
            }
        }
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let random = SystemRandom::new();
        let message = message(header, claims);
        let signature = match self {
            Signer::Rsa(key) => {
                let scheme: &dyn ::ring::signature::RsaEncoding = match header["alg"].as_str() {
                    Some("PS256") => &RSA_PSS_SHA256,
                    Some("RS512") => &RSA_PKCS1_SHA512,
                    _ => &RSA_PKCS1_SHA256,
                };
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(scheme, &random, message.as_bytes(), &mut signature).unwrap();
                signature
            }
            Signer::Ec(key, _) => key.sign(&random, message.as_bytes()).unwrap().as_ref().to_vec(),
            Signer::Ed(key) => key.sign(message.as_bytes()).as_ref().to_vec(),
        };
        format!("{message}.{}", BASE64.encode(signature))
    }
}

fn message(header: &Value, claims: &Value) -> String {
    format!("{}.{}", BASE64.encode(header.to_string()), BASE64.encode(claims.to_string()))
}

fn header(algorithm: &str, id: &str) -> Value {
    json!({"alg": algorithm, "kid": id, "typ": "JWT"})
}

fn claims() -> Value {
    let now = NOW.0 / 1000;
    json!({
        "iss": ISSUER, "aud": "muster", "sub": "ann", "exp": now + 600, "nbf": now - 5, "groups": ["engineers", "all"],
    })
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

/// An issuer whose keys are in a file, which the test replaces.
struct Fixture {
    issuer: Arc<JwtIssuer>,
    file: tempfile::NamedTempFile,
}

impl Fixture {
    fn new(keys: &[Value]) -> Fixture {
        Fixture::with(keys, |_| {})
    }

    fn with(keys: &[Value], change: impl FnOnce(&mut JwtSettings)) -> Fixture {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), json!({"keys": keys}).to_string()).unwrap();
        let mut settings = JwtSettings {
            issuer: ISSUER.to_owned(),
            audiences: vec!["muster".to_owned(), "muster.example".to_owned()],
            jwks: JwksSource::File(file.path().to_owned()),
            ca: None,
            user_claim: "sub".to_owned(),
            groups_claim: "groups".to_owned(),
        };
        change(&mut settings);
        Fixture { issuer: Arc::new(JwtIssuer::open(settings).unwrap()), file }
    }

    fn verify(&self, token: &str) -> Result<String, JwtError> {
        self.issuer.verify(token, NOW).map(|found| found.user.clone())
    }

    fn rotate(&self, keys: &[Value]) {
        std::fs::write(self.file.path(), json!({"keys": keys}).to_string()).unwrap();
        assert!(self.issuer.look().unwrap());
    }
}

#[test]
fn each_algorithm_is_taken_of_its_own_kind_of_key() {
    let signers = [
        (Signer::rsa(), vec!["RS256", "PS256"]),
        (Signer::p256(), vec!["ES256"]),
        (Signer::ec(&ECDSA_P384_SHA384_FIXED_SIGNING, "P-384"), vec!["ES384"]),
        (Signer::ed(), vec!["EdDSA"]),
    ];
    let all = ["none", "HS256", "HS512", "RS256", "RS512", "PS256", "ES256", "ES384", "EdDSA", "ES512", ""];
    for (signer, taken) in signers {
        let fixture = Fixture::new(&[signer.jwk("k")]);
        for algorithm in all {
            let verified = fixture.verify(&signer.sign(&header(algorithm, "k"), &claims()));
            assert_eq!(verified.is_ok(), taken.contains(&algorithm), "{algorithm} {taken:?}: {verified:?}");
        }
    }
}

#[test]
fn the_key_says_with_what_it_signs_if_it_says_so() {
    let signer = Signer::rsa();
    let mut jwk = signer.jwk("k");
    jwk["alg"] = json!("PS256");
    let fixture = Fixture::new(&[jwk.clone()]);
    assert_eq!(fixture.verify(&signer.sign(&header("PS256", "k"), &claims())), Ok("ann".to_owned()));
    assert_eq!(fixture.verify(&signer.sign(&header("RS256", "k"), &claims())), Err(JwtError::Algorithm));
    for (name, value) in [("alg", "RS512"), ("use", "enc")] {
        let mut other = jwk.clone();
        other[name] = json!(value);
        assert!(
            matches!(keys::parse(json!({"keys": [other]}).to_string().as_bytes()), Err(JwksError::NoKey)),
            "{value}"
        );
    }
}

/// The oldest two tricks.
#[test]
fn neither_no_signature_nor_one_by_the_public_key_as_a_secret_is_taken() {
    let signer = Signer::rsa();
    let fixture = Fixture::new(&[signer.jwk("k")]);
    for algorithm in ["none", "None", "NONE", "RS256"] {
        let unsigned = format!("{}.", message(&header(algorithm, "k"), &claims()));
        assert!(fixture.verify(&unsigned).is_err(), "{algorithm}");
    }
    let message = message(&header("HS256", "k"), &claims());
    let jwk = signer.jwk("k");
    let modulus = BASE64.decode(jwk["n"].as_str().unwrap()).unwrap();
    for secret in [modulus.as_slice(), jwk.to_string().as_bytes(), b""] {
        let key = ::ring::hmac::Key::new(::ring::hmac::HMAC_SHA256, secret);
        let token = format!("{message}.{}", BASE64.encode(::ring::hmac::sign(&key, message.as_bytes())));
        assert_eq!(fixture.verify(&token), Err(JwtError::Algorithm));
    }
    let shared = json!({"kty": "oct", "kid": "s", "k": BASE64.encode("secret"), "alg": "HS256"});
    assert!(matches!(keys::parse(json!({"keys": [shared]}).to_string().as_bytes()), Err(JwksError::NoKey)));
}

#[test]
fn each_wrong_claim_is_told() {
    let signer = Signer::p256();
    let fixture = Fixture::new(&[signer.jwk("k")]);
    let now = NOW.0 / 1000;
    let sign = |claims: &Value| signer.sign(&header("ES256", "k"), claims);
    for (claims, expected) in [
        (with("iss", json!("https://other.example")), JwtError::Issuer),
        (with("iss", json!([ISSUER, "https://other.example"])), JwtError::Issuer),
        (without("iss"), JwtError::Claim),
        (with("aud", json!("other")), JwtError::Audience),
        (with("aud", json!(["other", "another"])), JwtError::Audience),
        (with("aud", json!([])), JwtError::Audience),
        (with("aud", json!(7)), JwtError::Claim),
        (without("aud"), JwtError::Claim),
        (without("sub"), JwtError::Claim),
        (with("sub", json!(7)), JwtError::Claim),
        (without("exp"), JwtError::Claim),
        (with("exp", json!("tomorrow")), JwtError::Claim),
        (with("exp", json!(-1)), JwtError::Claim),
        (with("exp", json!(1e300)), JwtError::Claim),
        (with("exp", json!(now)), JwtError::Expired),
        (with("exp", json!(now - 1)), JwtError::Expired),
        (with("nbf", json!(now + 61)), JwtError::NotYet),
        (with("nbf", json!("now")), JwtError::Claim),
        (with("groups", json!(7)), JwtError::Groups),
        (with("groups", json!(["a", 7])), JwtError::Groups),
    ] {
        assert_eq!(fixture.verify(&sign(&claims)), Err(expected), "{claims}");
    }
    for claims in [
        with("aud", json!(["other", "muster.example"])),
        with("exp", json!(now as f64 + 0.5)),
        with("nbf", json!(now + 59)),
        without("nbf"),
        without("groups"),
    ] {
        assert_eq!(fixture.verify(&sign(&claims)), Ok("ann".to_owned()), "{claims}");
    }
    let found = fixture.issuer.verify(&sign(&claims()), NOW).unwrap();
    assert_eq!(found.groups, ["engineers", "all"]);
    assert_eq!(found.expires, WallTime(NOW.0 + 600_000));
}

#[test]
fn the_claims_of_user_and_groups_can_be_chosen_and_an_address_must_be_verified() {
    let signer = Signer::p256();
    let fixture = Fixture::with(&[signer.jwk("k")], |settings| {
        settings.user_claim = "email".to_owned();
        settings.groups_claim = "team".to_owned();
    });
    let sign = |claims: &Value| signer.sign(&header("ES256", "k"), claims);
    let mut claims = with("email", json!("ann@example.com"));
    claims["team"] = json!("a");
    let found = fixture.issuer.verify(&sign(&claims), NOW).unwrap();
    assert_eq!((found.user.as_str(), found.groups.as_slice()), ("ann@example.com", ["a".to_owned()].as_slice()));
    assert_eq!(fixture.verify(&sign(&without("email"))), Err(JwtError::User));
    for (verified, expected) in [(json!(true), true), (json!(false), false), (json!("true"), false)] {
        claims["email_verified"] = verified;
        assert_eq!(fixture.verify(&sign(&claims)).is_ok(), expected, "{claims}");
    }
}

#[test]
fn a_key_is_found_by_its_id_alone_and_another_key_verifies_nothing() {
    let (one, other) = (Signer::p256(), Signer::p256());
    let fixture = Fixture::new(&[one.jwk("one"), other.jwk("other")]);
    assert_eq!(fixture.verify(&one.sign(&header("ES256", "one"), &claims())), Ok("ann".to_owned()));
    assert_eq!(fixture.verify(&one.sign(&header("ES256", "other"), &claims())), Err(JwtError::Signature));
    assert_eq!(fixture.verify(&one.sign(&header("ES256", "third"), &claims())), Err(JwtError::UnknownKey));
    let nameless = json!({"alg": "ES256"});
    assert_eq!(fixture.verify(&one.sign(&nameless, &claims())), Err(JwtError::UnknownKey));
    assert_eq!(Fixture::new(&[one.jwk("one")]).verify(&one.sign(&nameless, &claims())), Ok("ann".to_owned()));
    // What a token itself says of keys is nothing that anybody reads.
    let mut own = header("ES256", "one");
    own["jwk"] = other.jwk("one");
    own["jku"] = json!("https://evil.example/keys");
    assert_eq!(fixture.verify(&other.sign(&own, &claims())), Err(JwtError::Signature));
    let mut critical = header("ES256", "one");
    critical["crit"] = json!(["exp"]);
    assert_eq!(fixture.verify(&one.sign(&critical, &claims())), Err(JwtError::Malformed));
}

#[test]
fn what_was_changed_on_the_way_or_is_cut_is_refused() {
    let signer = Signer::p256();
    let fixture = Fixture::new(&[signer.jwk("k")]);
    let token = signer.sign(&header("ES256", "k"), &claims());
    assert!(fixture.verify(&token).is_ok());
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let forged = message(&header("ES256", "k"), &with("sub", json!("admin")));
    assert_eq!(fixture.verify(&format!("{forged}.{signature}")), Err(JwtError::Signature));
    for cut in [signed, &format!("{signed}."), &token[..token.len() - 2], "a.b.c", "", "..", &format!("{token}.")] {
        assert!(fixture.verify(cut).is_err(), "{cut}");
    }
}

#[test]
fn what_is_remembered_ends_with_its_time_and_with_its_key() {
    let (old, new) = (Signer::p256(), Signer::p256());
    let fixture = Fixture::new(&[old.jwk("old")]);
    let token = old.sign(&header("ES256", "old"), &claims());
    assert!(fixture.verify(&token).is_ok());
    assert_eq!(fixture.issuer.keys.load().lock().len(), 1);
    let later = WallTime(NOW.0 + 600_000);
    assert_eq!(fixture.issuer.verify(&token, later), Err(JwtError::Expired));
    fixture.rotate(&[old.jwk("old"), new.jwk("new")]);
    assert!(fixture.verify(&token).is_ok() && fixture.verify(&new.sign(&header("ES256", "new"), &claims())).is_ok());
    fixture.rotate(&[new.jwk("new")]);
    assert_eq!(fixture.verify(&token), Err(JwtError::UnknownKey));
    std::fs::write(fixture.file.path(), "{}").unwrap();
    assert!(matches!(fixture.issuer.look(), Err(JwksError::Malformed)));
    assert!(fixture.verify(&new.sign(&header("ES256", "new"), &claims())).is_ok(), "the keys before stand");
}

#[test]
fn no_more_is_remembered_than_there_is_room_for() {
    let set = KeySet::default();
    let identity = |expires| Arc::new(JwtIdentity { user: "u".to_owned(), groups: Vec::new(), expires });
    let digest = |number: usize| {
        let mut digest = [0; 32];
        digest[..8].copy_from_slice(&number.to_be_bytes());
        digest
    };
    for number in 0..MAX_VERIFIED {
        set.remember(digest(number), identity(WallTime(NOW.0 + 1000 + number as u64)), NOW);
    }
    set.remember(digest(MAX_VERIFIED), identity(WallTime(NOW.0 + 1)), NOW);
    assert_eq!(set.lock().len(), MAX_VERIFIED);
    assert!(!set.lock().contains_key(&digest(0)) && set.lock().contains_key(&digest(MAX_VERIFIED)));
    set.remember(digest(MAX_VERIFIED + 1), identity(WallTime(u64::MAX)), WallTime(NOW.0 + 2000));
    assert!(set.lock().len() < MAX_VERIFIED, "what has ended goes first");
}

#[tokio::test(start_paused = true)]
async fn an_unknown_key_is_asked_for_twice_a_minute_and_no_more() {
    let (old, new) = (Signer::p256(), Signer::p256());
    let fixture = Fixture::new(&[old.jwk("old")]);
    let metrics = Arc::new(MasterMetrics::default());
    let fetching = tokio::spawn(fixture.issuer.clone().keep_fetched(metrics, || {}));
    let token = |id: &str| new.sign(&header("ES256", id), &claims());
    let known = old.sign(&header("ES256", "old"), &claims());
    assert!(fixture.issuer.key_to_come(&known).is_none(), "it is known");
    assert!(fixture.issuer.key_to_come("eyJ").is_none(), "it is none");
    assert_eq!(fixture.verify(&token("new")), Err(JwtError::UnknownKey));
    std::fs::write(fixture.file.path(), json!({"keys": [new.jwk("new")]}).to_string()).unwrap();
    fixture.issuer.key_to_come(&token("new")).unwrap().await;
    assert_eq!(fixture.verify(&token("new")), Ok("ann".to_owned()));
    assert!(fixture.issuer.key_to_come(&token("third")).is_some());
    assert!(fixture.issuer.key_to_come(&token("fourth")).is_none(), "within a minute");
    tokio::time::advance(UNKNOWN_WITHIN).await;
    assert!(fixture.issuer.key_to_come(&token("fourth")).is_some());
    fetching.abort();
}

#[test]
fn a_set_that_makes_no_sense_is_refused_as_a_whole_and_a_key_alone() {
    let parse = |text: &str| keys::parse(text.as_bytes());
    for text in ["", "[]", "{}", "{\"keys\": 7}"] {
        assert!(matches!(parse(text), Err(JwksError::Malformed)), "{text}");
    }
    let good = Signer::p256().jwk("k");
    let odd = [json!(7), json!({"kty": "RSA"}), json!({"kty": "EC", "crv": "P-521", "x": "AA", "y": "AA", "kid": "o"})];
    let mut keys = odd.to_vec();
    assert!(matches!(parse(&json!({"keys": keys}).to_string()), Err(JwksError::NoKey)));
    keys.push(good.clone());
    assert_eq!(parse(&json!({"keys": keys}).to_string()).unwrap().len(), 1);
    let many = vec![good; 65];
    assert!(matches!(parse(&json!({"keys": many}).to_string()), Err(JwksError::TooMany)));
}

/// A server over TLS that gives one answer to everybody; returns its address.
async fn https(directory: &std::path::Path, company: &Company, answer: String) -> String {
    let (certificate, key) = company.server(&["127.0.0.1"]).write(directory, "server");
    let own = OwnCertificate::open(certificate, key).unwrap();
    let authority = Authority::create(&directory.join("pki")).unwrap();
    let tls = ServerTls::new(authority, Vec::new(), Some(&own), None).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let Ok(muster_tls::AcceptedConnection { mut stream, .. }) = tls.acceptor().accept(tcp).await else {
                continue;
            };
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    format!("https://{address}/keys")
}

async fn fetched(address: &str, ca: &std::path::Path) -> Result<Vec<u8>, JwksError> {
    let (source, ca) = (JwksSource::Https(address.to_owned()), ca.to_owned());
    tokio::task::spawn_blocking(move || keys::read(&source, Some(&ca))).await.unwrap()
}

#[tokio::test]
async fn keys_are_fetched_from_a_server_that_is_trusted_and_from_no_other_by_its_word() {
    let directory = tempfile::tempdir().unwrap();
    let company = Company::new("Issuer");
    let (ca, other) = (directory.path().join("ca.crt"), directory.path().join("other.crt"));
    let (ca, other) = (company.write_ca(ca), Company::new("Other").write_ca(other));
    let set = json!({"keys": [Signer::p256().jwk("k")]}).to_string();
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{set}", set.len());
    let address = https(directory.path(), &company, answer).await;
    assert_eq!(keys::parse(&fetched(&address, &ca).await.unwrap()).unwrap().len(), 1);
    assert!(matches!(fetched(&address, &other).await, Err(JwksError::Fetch(..))));
    assert!(matches!(fetched(&address, &directory.path().join("server.key")).await, Err(JwksError::Ca(_))));

    let elsewhere = tempfile::tempdir().unwrap();
    let moved = "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let address = https(elsewhere.path(), &company, moved.to_owned()).await;
    let refused = fetched(&address, &ca).await.unwrap_err();
    assert!(crate::error_line(&refused).contains("https"), "{}", crate::error_line(&refused));
}
