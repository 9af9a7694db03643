"""What is compared: nginx, HAProxy, a bare Pingora proxy, LiteLLM, and builds of Tollgate with more and less switched on."""

import hashlib
import os
import subprocess
import tempfile
from pathlib import Path

from measure.programs import Process, announced, free_address

# The key that clients send; every proxy gets it, Tollgate and LiteLLM look at it.
KEY = "sk-bench-0123456789abcdef"
HEADERS = {"content-type": "application/json", "x-api-key": KEY, "anthropic-version": "2023-06-01"}
MODEL = "claude-sonnet-4-5-20250929"

# Everything that costs something. The limits are real ones, high enough that no call is refused.
PLUGINS = {
    "api_keys": "{ keys: [{ name: bench, tenant: bench, sha256: DIGEST }] }",
    "max_tokens": "{ limit: 4000 }",
    "rate_limit": "{ limits: [{ by: key, requests: 1000000/s, tokens: 1000000000000/m, concurrent: 100000 }] }",
    "budget": "{ limits: [{ by: key, usd: 1000000/day }] }",
    "response_cache": "{ scope: key }",
    "usage_log": "{ database: DATABASE }",
}
EVERYTHING = ("access_log", *PLUGINS)

TOLLGATE = """\
log: { level: error }
THREADSaccess_log: { path: LOG }
admin: { address: "127.0.0.1:0" }
listeners:
  - { address: "127.0.0.1:0", max_connections: 20000TLS }
upstreams:
  origin:
    servers: [SERVERS]
    keepalive: { connections: 4096, idle_timeout: 5m }
plugins: [PLUGINS]
routes:
ROUTES  - { upstream: origin }
"""

NGINX = """\
USERworker_processes auto;
daemon off;
pid FOLDER/nginx.pid;
error_log FOLDER/error.log warn;
worker_rlimit_nofile 40000;
events { worker_connections 20000; }
http {
  client_body_temp_path FOLDER/b; proxy_temp_path FOLDER/p; fastcgi_temp_path FOLDER/f; uwsgi_temp_path FOLDER/u;
  scgi_temp_path FOLDER/s;
  access_log FOLDER/access.log combined;
  tcp_nodelay on;
  keepalive_requests 1000000; keepalive_timeout 300; server_names_hash_max_size 65536; server_names_hash_bucket_size 128;
  client_max_body_size 32m; BUFFERS
  upstream origin { least_conn; SERVERS keepalive 1024; keepalive_requests 1000000; }
  proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host; CACHE
  server { listen 127.0.0.1:PORT backlog=4096 TLS; location / { proxy_pass http://origin; } }
ROUTES
}
"""

NGINX_CACHE = """\
proxy_cache_path FOLDER/cache keys_zone=cache:10m;
  proxy_cache cache; proxy_cache_methods POST; proxy_cache_key "$request_uri|$request_body"; proxy_cache_valid 200 10m;
"""

HAPROXY = """\
global
  nbthread THREADS
  maxconn 9000
  log stdout format raw local0
defaults
  mode http
  log global
  option httplog
  timeout connect 5s
  timeout client 300s
  timeout server 300s
  timeout http-keep-alive 300s
  http-reuse always
  option http-no-delay
frontend f
  bind 127.0.0.1:PORT TLS
  default_backend origin
backend origin
  balance leastconn
SERVERS
"""

LITELLM = """\
model_list:
  - model_name: MODEL
    litellm_params: { model: anthropic/MODEL, api_base: "http://UPSTREAM", api_key: sk-upstream }
litellm_settings: { drop_params: true, telemetry: false }
general_settings: { master_key: KEY }
"""


class Targets:
    """Starts them. Every method that does not begin with `_` returns a running program."""

    def __init__(self, folder, upstreams, tools):
        self.folder, self.upstreams, self.tools = folder, upstreams, tools

    def _folder(self, name):
        """A folder of its own for each start."""
        return Path(tempfile.mkdtemp(prefix=name, dir=self.folder))

    def tollgate(self, binary, plugins=(), server=None, tls=False, routes="", servers=None, threads=None, **replaced):
        """A build of Tollgate with these plugins; `access_log` among them means a log. By default it has a worker a core."""
        folder = self._folder("tollgate")
        database = server.database() if server else f"sqlite://{folder}/ledger.db"
        digest = hashlib.sha256(KEY.encode()).hexdigest()
        texts = {**PLUGINS, **replaced}
        chosen = ", ".join(f"{{ {name}: {texts[name]} }}" for name in PLUGINS if name in plugins)
        addresses = servers or self.upstreams
        config = (
            TOLLGATE.replace("THREADS", f"server: {{ threads: {threads} }}\n" if threads else "")
            .replace("PLUGINS", chosen)
            .replace("DIGEST", digest)
            .replace("DATABASE", f'"{database}"')
            .replace("LOG", str(folder / "access.log") if "access_log" in plugins else "off")
            .replace("TLS", f", tls: {{ certificates: [{self._certificate()}] }}" if tls else "")
            .replace("SERVERS", ", ".join(f'{{ address: "{address}" }}' for address in addresses))
            .replace("ROUTES", routes)
        )
        path = folder / "tollgate.yaml"
        path.write_text(config)
        process = announced([binary, "run", "-c", path], lines=2)
        process.database, process.server, process.folder = database, server, folder
        return process

    def nginx(self, body_in_memory=True, cache=False, tls=False, routes="", servers=None):
        """nginx with its access log, connections kept open, streams passed on at once."""
        folder, address = self._folder("nginx"), free_address()
        addresses = servers or self.upstreams
        config = (
            NGINX.replace("BUFFERS", "client_body_buffer_size 2m;" if body_in_memory else "")
            .replace("CACHE", NGINX_CACHE if cache else "proxy_buffering off;")
            .replace("SERVERS", " ".join(f"server {upstream};" for upstream in addresses))
            .replace("TLS", f"ssl http2; {self._nginx_certificate()}" if tls else "")
            .replace("ROUTES", routes)
            # root's workers would else be another user's, and could not enter the folder
            .replace("USER", "user root;\n" if os.geteuid() == 0 else "")
            .replace("PORT", address.rsplit(":", 1)[1])
            .replace("FOLDER", str(folder))
        )
        path = folder / "nginx.conf"
        path.write_text(config)
        process = Process([self.tools.nginx, "-c", path], address)
        process.log = folder / "access.log"
        return process

    def haproxy(self, tls=False, servers=None, **_):
        """HAProxy with its log."""
        folder, address = self._folder("haproxy"), free_address()
        addresses = servers or self.upstreams
        config = (
            HAPROXY.replace("SERVERS", "\n".join(f"  server s{n} {to}" for n, to in enumerate(addresses)))
            .replace("TLS", f"ssl crt {self.folder}/both.pem alpn h2,http/1.1" if tls and self._certificate() else "")
            .replace("THREADS", str(os.cpu_count()))
            .replace("PORT", address.rsplit(":", 1)[1])
        )
        path = folder / "haproxy.cfg"
        path.write_text(config)
        with open(folder / "access.log", "w") as log:
            process = Process([self.tools.haproxy, "-db", "-f", path], address, output=log)
        process.log = folder / "access.log"
        return process

    def bare(self):
        """The least that a proxy on Pingora can be."""
        address = free_address()
        return Process([self.tools.bare, address, *self.upstreams], address)

    def litellm(self):
        """LiteLLM's proxy with one worker and a key, without a database."""
        folder, address = self._folder("litellm"), free_address()
        config = LITELLM.replace("MODEL", MODEL).replace("UPSTREAM", self.upstreams[0]).replace("KEY", KEY)
        path = folder / "litellm.yaml"
        path.write_text(config)
        command = [self.tools.litellm, "--config", path, "--host", "127.0.0.1", "--port", address.rsplit(":", 1)[1]]
        environment = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}
        process = Process([*command, "--num_workers", "1"], address, env=environment)
        process.wait_until_it_accepts(deadline=120)
        return process

    def _certificate(self):
        """A certificate for all of them, made once; as the YAML names it."""
        certificate, key = Path(self.folder) / "cert.pem", Path(self.folder) / "key.pem"
        if not certificate.exists():
            kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
            subject = ["-subj", "/CN=bench", "-addext", "subjectAltName=DNS:bench,IP:127.0.0.1"]
            command = ["openssl", "req", "-x509", *kind, *subject, "-keyout", key, "-out", certificate]
            subprocess.run(command, check=True, capture_output=True)
            (Path(self.folder) / "both.pem").write_text(certificate.read_text() + key.read_text())
        return f"{{ certificate: {certificate}, private_key: {key} }}"

    def _nginx_certificate(self):
        self._certificate()
        return f"ssl_certificate {self.folder}/cert.pem; ssl_certificate_key {self.folder}/key.pem"
