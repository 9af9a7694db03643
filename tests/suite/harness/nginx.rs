//! A real nginx to compare with.

use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::process::{Child, Command, Stdio};

use super::folder::Folder;
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
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let at = folder.path().display().to_string();
    let (http, server) = (http.replace("{at}", &at), server.replace("{at}", &at));
    // a root nginx would serve as another user, who may not look into the folder
    let user = if std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0) { "user root;" } else { "" };
    let configuration = format!(
        "{user} worker_processes 1; daemon off; pid {at}/pid; error_log stderr crit; events {{}}
         http {{ access_log off; proxy_http_version 1.1; client_body_temp_path {at}/b; proxy_temp_path {at}/p; fastcgi_temp_path {at}/f;
         uwsgi_temp_path {at}/u; scgi_temp_path {at}/s; {http}
         server {{ listen {port}; {server} }} }}"
    );
    let file = folder.path().join("nginx.conf");
    std::fs::write(&file, configuration).unwrap();
    let mut command = Command::new("nginx");
    command.arg("-c").arg(&file).arg("-p").arg(folder.path()).stdin(Stdio::null());
    let child = command.spawn().expect("nginx runs; `tests/run` installs it");
    eventually("nginx", async || tokio::net::TcpStream::connect(port).await.is_ok()).await;
    Nginx { child, address: port, _folder: folder }
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
