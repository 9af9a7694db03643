//! Settings that make no sense, and the memory of those that do.

use super::*;

#[test]
fn settings_that_make_no_sense_are_told() {
    let problem = |limits: Value| {
        let config: Config = serde_json::from_value(json!({ "limits": limits })).unwrap();
        config.check().map_err(String::from)
    };
    for (limits, words) in [
        (json!([{ "by": "key" }]), "`limits[0]` limits nothing"),
        (json!([{ "by": [], "concurrent": 1 }]), "empty list for `by`"),
        (json!([{ "by": ["all", "key"], "concurrent": 1 }]), "goes by `all` and something else"),
        (json!([{ "by": ["key", "key"], "concurrent": 1 }]), "names the same twice"),
        (json!([{ "by": "key", "tokens": "1/m", "burst": 5 }]), "no `requests`"),
        (json!([{ "by": "key", "requests": "1/d", "burst": 5 }]), "of a day or a month"),
        (json!([{ "by": "key", "requests": "1/d", "name": "" }]), "is empty"),
        (json!([{ "by": "key", "requests": "1/s" }, { "by": "key", "requests": "9/s" }]), "give one of them a `name`"),
    ] {
        let problem = problem(limits).unwrap_err();
        assert!(problem.contains(words), "{problem}");
    }
    assert!(problem(json!([{ "by": "key", "requests": "1/s" }, { "by": "key", "requests": "9/d" }])).is_ok());
    let reads = |config: Value| serde_json::from_value::<Config>(config).map_err(|error| error.to_string());
    for (config, words) in [
        (json!({ "limits": [{ "by": "kye", "concurrent": 1 }] }), "told apart by"),
        (json!({ "limits": [{ "by": "header:x y", "concurrent": 1 }] }), "not the name of a header"),
        (json!({ "time_zone": "Europe/Berln" }), "is not a time zone"),
        (json!({ "weights": { "input": -1 } }), "is not a weight"),
        (json!({ "max_subjects": 1 }), "at least 16"),
    ] {
        let problem = reads(config).unwrap_err();
        assert!(problem.contains(words), "{problem}");
    }
    let config =
        json!({ "limits": [{ "by": ["key", "header:x-a"], "requests": "1/s" }], "time_zone": "Europe/Berlin" });
    let written = serde_json::to_value(reads(config).unwrap()).unwrap();
    assert_eq!(written["limits"][0]["by"], json!(["key", "header:x-a"]));
    assert_eq!((&written["time_zone"], &written["weights"]["cache_read"]), (&json!("Europe/Berlin"), &json!(0.1)));
}

#[test]
fn a_redis_that_cannot_be_used_is_told_without_its_url() {
    let problem = |redis: Value| {
        let config = json!({ "limits": [{ "by": "key", "tokens": "2000000000000/d" }], "redis": redis });
        let config: Config = serde_json::from_value(config).unwrap();
        config.check().map_err(String::from).unwrap_err()
    };
    let url = "redis://me:hunter2@host";
    for (redis, words) in [
        (json!({}), "wants `url`, or `cluster`"),
        (json!({ "url": url, "cluster": [url] }), "both `url` and `cluster`"),
        (json!({ "url": "http://me:hunter2@host" }), "`redis.url` is no address"),
        (json!({ "cluster": [url, "hunter2"] }), "`redis.cluster` is no address"),
        (json!({ "url": url, "timeout": "0s" }), "more than 0s"),
        (json!({ "url": url, "timeout": "11s" }), "at most 10s"),
        (json!({ "url": url }), "`limits[0]` has an amount above 1000000000000"),
    ] {
        let problem = problem(redis);
        assert!(problem.contains(words) && !problem.contains("hunter2"), "{problem}");
    }
    let config: Config = serde_json::from_value(json!({ "redis": { "url": url } })).unwrap();
    let redis = config.redis.unwrap();
    assert_eq!((redis.timeout.to_string().as_str(), redis.prefix.as_str()), ("20ms", "tollgate"));
}

#[test]
fn the_memory_of_the_same_limit_on_many_routes_is_counted_once() {
    let config = |name: &str| -> Config {
        serde_json::from_value(json!({ "limits": [{ "name": name, "by": "key", "requests": "1/s" }] })).unwrap()
    };
    let (a, b) = (config("a"), config("b"));
    let one = RateLimit::memory(&[&a]);
    assert_eq!((RateLimit::memory(&[&a, &a]), RateLimit::memory(&[])), (one, 0));
    assert!(RateLimit::memory(&[&a, &b]) > one);
    // what outlives a restart is in memory too, unless it is in Redis
    let by_day = |redis: &str| -> Config {
        let yaml = format!(r#"{{ "limits": [{{ "name": "a", "by": "key", "requests": "1/d" }}]{redis} }}"#);
        serde_json::from_str(&yaml).unwrap()
    };
    assert!(RateLimit::memory(&[&by_day("")]) > one);
    let redis = |limits: &str| -> Config {
        serde_json::from_str(&format!(r#"{{ {limits} "redis": {{ "url": "redis://127.0.0.1:1" }} }}"#)).unwrap()
    };
    let shared = by_day(r#", "redis": { "url": "redis://127.0.0.1:1" }"#);
    let by_second = redis(r#""limits": [{ "name": "a", "by": "key", "requests": "1/s" }],"#);
    assert_eq!(RateLimit::memory(&[&shared]), RateLimit::memory(&[&by_second]));
}
