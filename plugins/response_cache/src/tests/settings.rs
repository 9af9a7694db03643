//! Settings that make no sense.

use super::*;

#[test]
fn settings_that_make_no_sense_are_told() {
    let told = |change: fn(&mut Config)| {
        let mut config = Config::default();
        change(&mut config);
        config.check().unwrap_err()
    };
    assert_eq!(told(|config| config.ttl = Period::from_secs(0)), "`ttl` is 0s, so no answer could ever be given again");
    assert!(told(|config| config.memory.max_bytes = ByteSize::mebibytes(0)).starts_with("`max_entry` is 1MiB, above"));
    assert!(told(|config| config.paths.clear()).starts_with("`paths` is empty"));
    assert!(
        told(|config| config.paths = vec!["/v1/models".into()]).contains("`/v1/models`, which is no path of calls")
    );
    assert!(told(|config| config.paths = vec!["/v1/messages/batches".into()]).contains("batches are never answered"));
    assert!(told(|config| config.vary = vec!["a b".into()]).contains("`a b`, which cannot be the name of a header"));
    let redis = |json: &str| Config { redis: Some(serde_json::from_str(json).unwrap()), ..Config::default() }.check();
    assert!(
        redis(r#"{"url":"redis://a:6379"}"#).is_ok() && redis(r#"{"cluster":["redis://a:1","rediss://b:2"]}"#).is_ok()
    );
    assert_eq!(redis("{}").unwrap_err(), "`redis` wants `url`, or `cluster`");
    assert!(redis(r#"{"url":"redis://a","cluster":["redis://a"]}"#).unwrap_err().contains("both `url` and `cluster`"));
    let long = |config: Config| Config { ttl: Period::from_secs(32 * 24 * 3600), ..config }.check();
    assert!(long(Config::default()).is_ok());
    let shared = serde_json::from_str(r#"{"url":"redis://a"}"#).unwrap();
    assert!(long(Config { redis: Some(shared), ..Config::default() }).unwrap_err().contains("above 31d"));
    let error = redis(r#"{"url":"http://user:hunter2@a"}"#).unwrap_err();
    assert!(error.starts_with("`redis.url` is no address of a Redis") && !error.contains("hunter2"), "{error}");
    assert!(redis(r#"{"url":"redis://a","timeout":"0s"}"#).unwrap_err().contains("`redis.timeout` is 0s"));
}
