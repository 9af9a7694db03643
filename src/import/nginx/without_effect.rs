//! Directives that need nothing here, and why.

use super::directive::Directive;
use super::unknown::is_well_known;

/// Groups of directives, each with its reason.
const NEED_NOTHING: [(&str, &[&str]); 9] = [
    (
        "the process is the system's business: systemd's, or a container's",
        &[
            "user",
            "pid",
            "daemon",
            "master_process",
            "error_log",
            "lock_file",
            "load_module",
            "env",
            "pcre_jit",
            "thread_pool",
            "worker_priority",
            "working_directory",
            "worker_rlimit_core",
            "worker_rlimit_nofile",
            "worker_cpu_affinity",
            "timer_resolution",
            "worker_connections",
            "worker_processes",
            "worker_shutdown_timeout",
        ],
    ),
    (
        "connections are accepted and written without tuning",
        &[
            "events",
            "multi_accept",
            "use",
            "accept_mutex",
            "sendfile",
            "sendfile_max_chunk",
            "tcp_nopush",
            "tcp_nodelay",
            "aio",
            "directio",
            "postpone_output",
            "output_buffers",
            "reset_timedout_connection",
            "lingering_close",
            "lingering_time",
            "lingering_timeout",
            "keepalive_requests",
            "keepalive_disable",
            "keepalive_time",
            "send_timeout",
            "send_lowat",
            "http2",
            "http2_max_concurrent_streams",
            "http2_chunk_size",
            "chunked_transfer_encoding",
        ],
    ),
    (
        "tables have the size that they need",
        &[
            "server_names_hash_bucket_size",
            "server_names_hash_max_size",
            "map_hash_bucket_size",
            "map_hash_max_size",
            "types_hash_max_size",
            "types_hash_bucket_size",
            "variables_hash_max_size",
            "variables_hash_bucket_size",
            "proxy_headers_hash_max_size",
            "proxy_headers_hash_bucket_size",
            "limit_conn_log_level",
            "limit_req_log_level",
        ],
    ),
    (
        "bytes pass as they come, and are not held",
        &[
            "proxy_buffering",
            "proxy_buffer_size",
            "proxy_buffers",
            "proxy_busy_buffers_size",
            "proxy_request_buffering",
            "proxy_max_temp_file_size",
            "proxy_temp_file_write_size",
            "proxy_temp_path",
            "client_body_buffer_size",
            "client_body_temp_path",
            "client_body_in_file_only",
            "client_body_in_single_buffer",
            "client_header_buffer_size",
            "fastcgi_temp_path",
            "uwsgi_temp_path",
            "scgi_temp_path",
            "connection_pool_size",
            "request_pool_size",
            "proxy_store",
            "proxy_limit_rate",
        ],
    ),
    (
        "it is so by itself",
        &[
            "proxy_http_version",
            "proxy_pass_header",
            "proxy_pass_request_body",
            "proxy_pass_request_headers",
            "proxy_ssl_server_name",
            "proxy_ssl_session_reuse",
            "proxy_ssl_protocols",
            "proxy_ssl_ciphers",
            "proxy_ssl_verify",
            "proxy_ssl_verify_depth",
            "proxy_socket_keepalive",
            "proxy_ignore_client_abort",
            "server_tokens",
            "resolver",
            "resolver_timeout",
            "merge_slashes",
            "underscores_in_headers",
            "ignore_invalid_headers",
            "log_not_found",
            "log_subrequest",
            "server_name_in_redirect",
            "port_in_redirect",
            "absolute_redirect",
            "zone",
            "keepalive",
            "proxy_ignore_headers",
            "proxy_headers_hash",
        ],
    ),
    (
        "TLS is spoken as it is safe",
        &[
            "ssl_ciphers",
            "ssl_prefer_server_ciphers",
            "ssl_session_cache",
            "ssl_session_timeout",
            "ssl_session_tickets",
            "ssl_session_ticket_key",
            "ssl_dhparam",
            "ssl_ecdh_curve",
            "ssl_buffer_size",
            "ssl_stapling",
            "ssl_stapling_verify",
            "ssl_trusted_certificate",
            "ssl_verify_depth",
            "ssl_conf_command",
            "ssl_early_data",
            "ssl",
        ],
    ),
    (
        "it says what goes with what is left out by another directive",
        &[
            "gzip_types",
            "gzip_comp_level",
            "gzip_min_length",
            "gzip_vary",
            "gzip_proxied",
            "gzip_disable",
            "gzip_buffers",
            "gzip_http_version",
            "gzip_static",
            "brotli_types",
            "brotli_comp_level",
            "sub_filter_once",
            "sub_filter_types",
            "sub_filter_last_modified",
            "proxy_cache_path",
            "proxy_cache_key",
            "proxy_cache_valid",
            "proxy_cache_use_stale",
            "proxy_cache_lock",
            "proxy_cache_bypass",
            "proxy_cache_methods",
            "proxy_cache_min_uses",
            "proxy_cache_background_update",
            "proxy_cache_revalidate",
            "proxy_no_cache",
            "recursive_error_pages",
            "auth_request_set",
            "proxy_force_ranges",
            "proxy_ssl_certificate_key",
            "open_file_cache",
            "open_file_cache_valid",
            "open_file_cache_min_uses",
            "open_file_cache_errors",
        ],
    ),
    (
        "it is about files, and each location that serves them is named",
        &[
            "root",
            "index",
            "types",
            "default_type",
            "etag",
            "if_modified_since",
            "charset",
            "charset_types",
            "override_charset",
            "disable_symlinks",
            "expires",
            "max_ranges",
            "satisfy",
        ],
    ),
    (
        "it is a definition that nothing uses",
        &["log_format", "map", "geo", "split_clients", "upstream", "limit_req_zone", "limit_conn_zone"],
    ),
];

/// Directives that need nothing where they say this.
const VALUES: [(&str, &str); 11] = [
    ("gzip", "off"),
    ("brotli", "off"),
    ("proxy_cache", "off"),
    ("proxy_intercept_errors", "off"),
    ("proxy_pass_request_headers", "on"),
    ("autoindex", "off"),
    ("auth_request", "off"),
    ("satisfy", "all"),
    ("proxy_cookie_path", "off"),
    ("proxy_cookie_domain", "off"),
    ("mirror", "off"),
];

/// Directives that need nothing only where they say so, although they stand in a group.
const ONLY_SO: [(&str, &str); 2] = [("proxy_pass_request_body", "on"), ("satisfy", "all")];

/// Whether a directive needs nothing here.
pub(super) fn needs_nothing(directive: &Directive) -> bool {
    let name = directive.name.as_str();
    let has_value =
        |list: &[(&str, &str)]| list.iter().any(|(known, value)| *known == name && *value == directive.first());
    if ONLY_SO.iter().any(|(known, _)| *known == name) {
        return has_value(&ONLY_SO);
    }
    name == "include" && is_well_known(directive) || has_value(&VALUES) || has(name)
}

/// Whether directives of this name stand in a group.
pub(super) fn has(name: &str) -> bool {
    NEED_NOTHING.iter().any(|(_, names)| names.contains(&name))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_directive_has_one_reason() {
        let mut seen = HashSet::new();
        for (_, names) in NEED_NOTHING {
            names.iter().for_each(|name| assert!(seen.insert(*name), "{name} stands twice"));
        }
    }
}
