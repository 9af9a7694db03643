//! A real nginx, to which the rules that the target `url_path` takes for nginx's are held, and the normal form itself.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fuzz::pieces::Random;
use fuzz::url_path::by_nginx;

/// How many paths are made up.
const PATHS: usize = 3000;
const PARTS: [&str; 26] = [
    "/", "/", "/", "/", ".", ".", "..", "...", "a", "b;c", "\\", "%2f", "%2F", "%2E", "%2e", "%61", "%25", "%23",
    "%3f", "%ff", "%", "%0", "%00", "#", "é", "+",
];

struct Nginx {
    process: Child,
    folder: PathBuf,
}

impl Nginx {
    fn start() -> Self {
        let folder = std::env::temp_dir().join(format!("fuzz-nginx-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let config = "daemon off;\nmaster_process off;\npid pid;\nerror_log stderr crit;\nevents {}\nhttp {\n  access_log off;\n\
                      server {\n    listen unix:socket;\n    location / { return 200 \"$uri\"; }\n  }\n}\n";
        fs::write(
            folder.join("nginx.conf"),
            config.replace("unix:socket", &format!("unix:{}/socket", folder.display())),
        )
        .unwrap();
        let program = if Path::new("/usr/sbin/nginx").exists() { "/usr/sbin/nginx" } else { "nginx" };
        let process = Command::new(program)
            .arg("-p")
            .arg(&folder)
            .args(["-c", "nginx.conf", "-e", "stderr"])
            .stdout(Stdio::null())
            .spawn()
            .expect("nginx, which tests/run installs");
        Self { process, folder }
    }

    /// A connection, once nginx is there.
    fn connect(&self) -> UnixStream {
        let begun = Instant::now();
        loop {
            match UnixStream::connect(self.folder.join("socket")) {
                Ok(stream) => return stream,
                Err(error) => assert!(begun.elapsed() < Duration::from_secs(20), "{error}"),
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The path's normal form; `None` where the answer is 400.
    fn uri(&self, path: &str) -> Option<Vec<u8>> {
        let mut stream = self.connect();
        stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let head = answer.windows(4).position(|end| end == b"\r\n\r\n").expect("a head");
        match &answer[..12] {
            b"HTTP/1.1 200" => Some(answer.split_off(head + 4)),
            b"HTTP/1.1 400" => None,
            other => panic!("{path}: {}", String::from_utf8_lossy(other)),
        }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn nginx_has_the_same_normal_form_of_every_path() {
    let nginx = Nginx::start();
    let seeds = fs::read_dir("corpus/url_path").unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap());
    let mut paths: Vec<String> = seeds.filter_map(|bytes| String::from_utf8(bytes).ok()).collect();
    let mut random = Random::of(b"paths");
    paths.extend((0..PATHS).map(|_| {
        let parts = (0..random.below(14)).map(|_| PARTS[random.below(PARTS.len())]);
        format!("/{}", parts.collect::<String>())
    }));
    paths.retain(|path| path.starts_with('/') && !path.contains([' ', '?']) && !path.chars().any(char::is_control));
    for path in paths {
        let uri = nginx.uri(&path);
        assert_eq!(by_nginx(path.as_bytes()), uri, "{path}");
        let text = uri.map(|uri| String::from_utf8_lossy(&uri).into_owned());
        assert_eq!(url_path::normalize(&path).ok().as_deref(), text.as_deref(), "{path}");
    }
}
