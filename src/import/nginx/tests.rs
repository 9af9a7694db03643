//! Configurations as nginx's users write them, what becomes of them, and that the result loads.

mod conditions;
mod headers;
mod limits;
mod refusals;
mod servers;
mod upstreams;

use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};

use regex::{Captures, Regex};

use super::*;
use crate::config::{Config, parse};

/// The configuration, which must load with any variables, its YAML, and what was left out.
fn imported(text: &str) -> (Config, String, String) {
    let directives = parser::parse(&Rc::from("n.conf"), text).unwrap_or_else(|error| panic!("{error}"));
    let Imported { yaml, left_out } = of_directives("n.conf", &directives).unwrap_or_else(|error| panic!("{error}"));
    (loaded(&yaml), yaml, left_out.join("\n"))
}

/// The lines of the YAML behind its comments, without their indentation, and what was left out.
fn lines_of(text: &str) -> (Vec<String>, String) {
    let (_, yaml, left_out) = imported(text);
    (yaml.lines().filter(|line| !line.starts_with('#')).map(|line| line.trim().to_owned()).collect(), left_out)
}

/// The same lines of a configuration that is not loaded.
fn unloaded(text: &str) -> Vec<String> {
    let Imported { yaml, .. } = of_directives("n.conf", &parser::parse(&Rc::from("n.conf"), text).unwrap()).unwrap();
    yaml.lines().map(|line| line.trim().to_owned()).collect()
}

/// A server at the usual port with these directives, of which nothing is left out.
fn server(directives: &str) -> Vec<String> {
    let (lines, left_out) = lines_of(&format!("server {{ listen 80;\n{directives}\n}}"));
    assert_eq!(left_out, "", "{directives}");
    lines
}

#[track_caller]
fn has(lines: &[String], wanted: &[&str]) {
    for wanted in wanted {
        assert!(lines.iter().any(|line| line.contains(wanted)), "{wanted} in\n{}", lines.join("\n"));
    }
}

fn loaded(yaml: &str) -> Config {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/nginx"));
    let variable = |name: &str| {
        Some(match name {
            "PORT" => "8080".to_owned(),
            "MAX_BODY" => "20MiB".to_owned(),
            "KEEPALIVE" | "READ_TIMEOUT" => "65s".to_owned(),
            name => name.to_lowercase().replace('_', "-"),
        })
    };
    // certificates are read when a configuration is checked; `}` ends their names
    let pair = Pair::new();
    let named = Regex::new("(certificate|private_key|client_ca): (\"[^\"]*\"|[^ ,}\\n]+)").unwrap();
    let yaml = named.replace_all(yaml, |found: &Captures<'_>| format!("{}: {}", &found[1], pair.file(&found[1])));
    parse("tollgate.yaml", &yaml, folder, &variable).unwrap_or_else(|errors| panic!("{errors}\n{yaml}"))
}

/// The files of a certificate that signed itself.
struct Pair(PathBuf);

impl Pair {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("tollgate-import-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        fs::create_dir(&folder).unwrap();
        let signed = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        fs::write(folder.join("certificate"), signed.cert.pem()).unwrap();
        fs::write(folder.join("client_ca"), signed.cert.pem()).unwrap();
        fs::write(folder.join("private_key"), signed.signing_key.serialize_pem()).unwrap();
        Self(folder)
    }

    fn file(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The configurations in `tests/nginx`.
fn fixtures() -> Vec<PathBuf> {
    let files = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/nginx")).unwrap().flatten();
    let paths = files.map(|entry| entry.path());
    let paths = paths.map(|path| if path.is_dir() { path.join("nginx.conf") } else { path });
    let mut files: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|ending| ending == "conf")).collect();
    files.sort();
    files
}

#[test]
fn every_configuration_of_the_tests_loads_and_leaves_out_no_more_than_is_known() {
    let mut told = Vec::new();
    for file in fixtures() {
        let Imported { yaml, left_out } = import(std::slice::from_ref(&file)).unwrap_or_else(|error| panic!("{error}"));
        let config = loaded(&yaml);
        assert!(config.warnings.is_empty(), "{}: {:?}\n{yaml}", file.display(), config.warnings);
        let folder = file.parent().unwrap().display().to_string() + "/";
        told.extend(left_out.into_iter().map(|line| line.replace(&folder, "")));
    }
    // which formats the access log has is its own business
    let is_usual = |line: &str| line.contains("files are not served") || line.contains("lines are `combined`");
    let of_files = |line: &&String| !is_usual(line);
    let others: Vec<&str> =
        told.iter().filter(of_files).map(|line| line.split(": left out: ").last().unwrap()).collect();
    assert_eq!(
        others,
        [
            "`location /plugins/`: who may call may be decided by what `${MORE_DIRECTIVES}` holds; import the finished file; its paths are answered with 403",
            "NGINX_SECRET_1: the file has a secret itself; set this variable to it",
            "NGINX_SECRET_2: the file has a secret itself; set this variable to it",
            "NGINX_SECRET_1: the file has a secret itself; set this variable to it",
            "NGINX_SECRET_1: the file has a secret itself; set this variable to it",
            "`location /`: who may call may be decided by `access_by_lua_block`; its paths are answered with 403",
            "`add_header X-Cached $upstream_cache_status`: `$upstream_cache_status` is no variable here",
            "`server`: it speaks TLS without a certificate; set TLS_CERTIFICATE and TLS_PRIVATE_KEY to its files",
            "`proxy_cache CACHE`: responses are not cached by their paths; see `response_cache` for calls of models",
            "`error_page 404 500 502 503 504 /500.html`: pages for errors are those of Tollgate, in the API of the caller",
            "`gzip on`: responses pass as the servers compress them",
        ]
    );
}

#[test]
fn no_secret_of_a_file_is_repeated() {
    let text = "server { listen 80; if ($http_x_api_key != \"sk-hidden-1\") { return 401; }\n location / { proxy_pass http://a;\n \
                proxy_set_header Authorization \"Bearer sk-hidden-2\"; } }";
    let (config, yaml, left_out) = imported(text);
    assert!(!yaml.contains("hidden") && !left_out.contains("hidden"), "{yaml}");
    assert!(yaml.contains("x-api-key: \"${NGINX_SECRET_1}\""), "{yaml}");
    assert!(yaml.contains("authorization: \"Bearer ${NGINX_SECRET_2}\""), "{yaml}");
    assert_eq!(config.routes.len(), 2);
    assert_eq!(left_out.lines().count(), 2, "{left_out}");
}

#[test]
fn no_part_of_a_secret_is_repeated_wherever_it_stands() {
    let text = "map $http_x_user $key { default hid1; ~^hid2 hid3; include x; }\n\
        map $http_x_key $ok { hid4 1; default 0; }\n\
        server { listen 80; server_name a.test; set $token \"Bearer hid5\";\n\
        if ($http_authorization !~ \"^Bearer (hid6|hid7)$\") { return 401; }\n\
        if ($arg_api_key != hid8) { return 401; }\n\
        if ($http_x_auth ~ ^(?!hid9)) { add_header X-A 1; }\n\
        if ($cookie_session = hid10) { add_header X-A 1; }\n\
        location /a { rewrite ^ /x?access_token=hid11 break; proxy_pass http://a; }\n\
        location /b { set $x 1; proxy_pass http://a/y?key=hid12&z=$x; }\n\
        location /c { return 302 https://hid13:hid14@b.test/?sig=hid15; }\n\
        location /d { proxy_pass https://hid16:hid17@a.test/; }\n\
        location /e { proxy_set_header Authorization \"Basic hid18:$remote_user\"; proxy_pass http://a; }\n\
        location /f { rewrite ^/f/(.*) /a?key=hid19 last; proxy_pass http://a; }\n\
        location /g { return 200 sk-hid20; }\n\
        location /h { proxy_set_header X-Kind $key; proxy_pass http://a; }\n\
        location /i { if ($ok = 0) { return 403; } proxy_pass http://a; }\n\
        location /j { proxy_pass http://a/?token=hid21; frob key=hid22; more_set_headers \"Authorization: hid23\"; }\n\
        }";
    let directives = parser::parse(&Rc::from("n.conf"), text).unwrap();
    let Imported { yaml, left_out } = of_directives("n.conf", &directives).unwrap();
    let left_out = left_out.join("\n");
    assert!(!yaml.contains("hid") && !left_out.contains("hid"), "{yaml}\n{left_out}");
    for wanted in [
        "authorization: \"~ ${NGINX_SECRET_",
        "api_key: \"${NGINX_SECRET_",
        "?access_token=${NGINX_SECRET_",
        "/y?key=${NGINX_SECRET_",
        "Basic ${NGINX_SECRET_",
    ] {
        assert!(yaml.contains(wanted), "{wanted} in {yaml}");
    }
}

#[test]
fn a_secret_without_the_look_of_one_is_not_repeated_where_its_directive_has_the_name() {
    let (_, yaml, left_out) = imported(
        "server { listen 80; secure_link_secret hid1; location / { proxy_pass http://a; }\n\
         secure_link_md5 \"$uri hid2\"; encrypted_session_key hid3; auth_token hid4; }",
    );
    assert!(!yaml.contains("hid") && !left_out.contains("hid"), "{left_out}");
    for name in ["secure_link_secret", "secure_link_md5", "encrypted_session_key", "auth_token"] {
        assert!(left_out.contains(&format!("left out: `{name}`: ")), "{left_out}");
    }
}

#[test]
fn a_secret_in_the_path_of_a_server_is_a_variable() {
    for (location, path, wanted) in [
        ("/a/", "/services/T01/hid4hid4hid4hid4hid4/", "/services/T01/${NGINX_SECRET_1}/$1"),
        ("= /a", "/services/hid4hid4hid4hid4hid4", "/services/${NGINX_SECRET_1}"),
        ("/a/", "/hid4hid4hid4hid4hid4/$http_x", "/${NGINX_SECRET_1}/$http_x?"),
        ("/a/", "/hid4hid4hid4hid4hid4$is_args$args", "/${NGINX_SECRET_1}"),
    ] {
        let text = format!("server {{ location {location} {{ proxy_pass https://hooks.test{path}; }} }}");
        let (_, yaml, left_out) = imported(&text);
        assert!(!yaml.contains("hid") && !left_out.contains("hid"), "{yaml}\n{left_out}");
        assert!(yaml.contains(&format!("rewrite: \"{wanted}\"")), "{wanted} in {yaml}");
    }
}

#[test]
fn files_that_are_not_there_may_keep_anybody_out() {
    let folder = std::env::temp_dir().join(format!("tollgate-include-{}", std::process::id()));
    fs::create_dir_all(folder.join("empty.d")).unwrap();
    let of = |http: &str, location: &str| {
        let text = format!(
            "include modules/*.conf;\nhttp {{ {http}\n server {{ location /a {{ {location} proxy_pass http://a:1; }}\n\
             location /b {{ proxy_pass http://a:1; }} }} }}\n"
        );
        fs::write(folder.join("nginx.conf"), text).unwrap();
        let Imported { yaml, left_out } = import(&[folder.join("nginx.conf")]).unwrap();
        (loaded(&yaml).routes.iter().filter(|route| route.target.upstream().is_some()).count(), left_out)
    };
    assert_eq!(of("include mime.types;", "include empty.d/*.conf;"), (1, Vec::new()));
    for (http, location, open) in
        [("", "include allowed.conf;", 1), ("", "include absent.d/*.conf;", 1), ("include blocked.d/*.conf;", "", 0)]
    {
        let (routes, left_out) = of(http, location);
        assert_eq!(routes, open, "{http} {location}");
        assert!(left_out.iter().any(|line| line.contains("answered with 403")), "{left_out:?}");
    }
    fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_directive_that_nobody_knows_is_named_wherever_it_stands() {
    let (config, _, left_out) = imported(
        "frobnicate on;\nserver {\n listen 80;\n frob 1;\n location / {\n proxy_pass http://a;\n frobs { x; }\n }\n}\n",
    );
    let lines: Vec<&str> = left_out.lines().collect();
    assert_eq!(
        lines,
        [
            "n.conf:5: left out: `location /`: who may call may be decided by `frobnicate`; its paths are answered with 403",
            "n.conf:1: left out: `frobnicate on`: it has no counterpart here",
            "n.conf:4: left out: `frob 1`: it has no counterpart here",
        ]
    );
    assert!(config.routes.iter().all(|route| route.target.upstream().is_none()));
}
