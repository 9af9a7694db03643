//! A real nginx to compare with.

use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::folder::Folder;
use super::port::free_port;
use super::wait::eventually;

/// An nginx of one worker, with a port of its own; it ends with the test.
pub struct Nginx {
    child: Child,
    address: SocketAddr,
    _folder: Folder,
}

/// Starts one with these directives of its `http` block and of its one `server` block. `{at}` in them is a folder of its own.
pub async fn nginx(http: &str, server: &str) -> Nginx {
    nginx_with_files(http, server, &[]).await
}

/// The same, with files in its folder.
pub async fn nginx_with_files(http: &str, server: &str, files: &[(&str, &str)]) -> Nginx {
    let folder = Folder::new();
    for (name, contents) in files {
        std::fs::write(folder.path().join(name), contents).unwrap();
    }
    nginx_of(folder, |port, at| {
        let at = at.display().to_string();
        let (http, server) = (http.replace("{at}", &at), server.replace("{at}", &at));
        format!("http {{ access_log off; {http} server {{ listen 127.0.0.1:{port}; {server} }} }}")
    })
    .await
}

/// Starts one with a whole configuration, or with parts of an `http` block, that is made for a port and a folder, which has its files.
pub async fn nginx_of(folder: Folder, configuration: impl FnOnce(u16, &Path) -> String) -> Nginx {
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let text = configuration(address.port(), folder.path());
    let at = folder.path().display();
    // a root nginx would serve as another user, who may not look into the folder
    let user = if std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0) { "user root;" } else { "" };
    let own = ["user ", "worker_processes ", "error_log ", "pid "];
    let lines = text.lines().filter(|line| !own.iter().any(|name| line.starts_with(name)));
    // servers of tests speak HTTP/1.1 alone
    let text = lines.collect::<Vec<_>>().join("\n").replace("proxy_http_version 1.1;", "");
    let (mut before, inside) = text.split_once("http {").unwrap_or(("", &text));
    let end = if text.contains("http {") { "" } else { "}" };
    if !before.contains("events") {
        before = "events {}";
    }
    let log = if inside.contains("access_log ") { String::new() } else { format!("access_log {at}/access.log;") };
    let inside = inside.replace("/dev/stdout", &format!("{at}/access.log"));
    let configuration = format!(
        "{user} worker_processes 1; daemon off; pid {at}/pid; error_log stderr crit; {before}
         http {{ {log} proxy_http_version 1.1; client_body_temp_path {at}/b; proxy_temp_path {at}/p; fastcgi_temp_path {at}/f;
         uwsgi_temp_path {at}/u; scgi_temp_path {at}/s; {inside} {end}"
    );
    let file = folder.path().join("nginx.conf");
    std::fs::write(&file, configuration).unwrap();
    let mut command = Command::new("nginx");
    command.arg("-c").arg(&file).arg("-p").arg(folder.path()).stdin(Stdio::null());
    let mut child = command.spawn().expect("nginx runs; `tests/run` installs it");
    eventually("nginx", async || {
        assert!(child.try_wait().unwrap().is_none(), "nginx ended at once");
        tokio::net::TcpStream::connect(address).await.is_ok()
    })
    .await;
    Nginx { child, address, _folder: folder }
}

impl Nginx {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // its master takes the worker along
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}
