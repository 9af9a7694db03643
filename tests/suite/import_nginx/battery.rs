//! The requests that nginx and the gateway are asked, for each configuration of `tests/nginx`.

use super::Case;

pub const API_BELOW_ROOT: Case = Case {
    file: "api_below_root.conf",
    port: 80,
    variables: &[],
    requests: &[
        "GET /",
        "GET /page?x=%20",
        "GET /api",
        "GET /api?x=1",
        "GET /api/models",
        "GET //api//models",
        "GET /x/../api/models",
        "GET /%61pi/models",
        "POST /api/chat\ncontent-length: 5\n\nhello",
        "POST /api/chat\ncontent-length: 30000",
        "HEAD /api/models",
    ],
};

pub const TWO_ENGINES: Case = Case {
    file: "two_engines.conf",
    port: 80,
    variables: &[],
    requests: &[
        "GET /api/v1/admin/roles",
        "GET /api/v1/admin/rolesX?y",
        "GET /api/v1/admin/other",
        "GET /v1/user/login",
        "GET /v1/user/other",
        "GET /api",
        "GET /static/css/a.css",
    ],
};

pub const TOOLS: Case = Case {
    file: "tools.conf",
    port: 80,
    variables: &[],
    requests: &[
        "GET /",
        "GET /.well-known/authorization/api/provider",
        "GET /.well-known/authorization/a/b/api/provider/?x=1",
        "GET /.well-known/other",
        "GET /tools",
        "GET /tools/",
        "GET /tools/a/b?c=d",
        "GET /toolsX",
        "GET /tools/callback",
        "GET /raw",
        "GET /raw/x?y",
        "GET /rawer",
        "GET /api",
        "GET /api/",
        "GET /api/v1/chat%20x?y=%20",
        "GET /openapi.json",
        "GET /openapi.json/x",
        "GET /apiX",
        "POST /api/chat\ncontent-length: 2\ncontent-type: application/json\n\n{}",
    ],
};

pub const PAGE_AND_API: Case = Case {
    file: "page_and_api.conf",
    port: 8082,
    variables: &[],
    requests: &["GET /v1", "GET /v1/models?x", "GET /v1/chat", "GET /v1/chats/1", "GET /v1/cha"],
};

pub const SITES: Case = Case {
    file: "sites.conf",
    port: 8080,
    variables: &[],
    requests: &[
        "GET /",
        "GET /x\nhost: OLD.example.com",
        "GET /x?y=1\nhost: www.example.com:8080",
        "GET /health\nhost: new.example.com",
        "HEAD /health\nhost: a.new.example.com",
        "GET /gone\nhost: new.example.com",
        "GET /moved/x?y\nhost: new.example.com",
        "GET /old/a/b?c=d\nhost: new.example.com",
        "GET /old/\nhost: new.example.com",
        "GET /old\nhost: new.example.com",
        "GET /api\nhost: new.example.com",
        "GET /api/x?y\nhost: new.example.com",
        "GET /api/x?y\nhost: new.example.com\nx-version: 2",
        "HEAD /api/x\nhost: new.example.com\nx-version: 2",
        "PUT /api/x\nhost: new.example.com\nx-version: 2\ncontent-length: 0",
        "GET /api/x?beta=1\nhost: new.example.com\nx-version: 2",
        "GET /v1/x\nhost: new.example.com\nauthorization: Bearer a",
        "DELETE /v1/x\nhost: new.example.com",
        "GET /v2/models/gpt?x=1\nhost: new.example.com",
        "GET /v2/other/x?y=z\nhost: new.example.com",
        "GET /nothing\nhost: new.example.com",
        "GET /x\nhost: pool.example.com",
        "GET /x\nhost: pool.example.com\nx-canary: 1",
        "GET /x\nhost: pool.example.com:8080\nx-canary: beta-2",
        "GET /x\nhost: pool.example.com\nx-canary: 2",
    ],
};

pub const BEARER: Case = Case {
    file: "bearer.conf",
    port: 80,
    variables: &[("MODEL_API_KEY", "key-1234567890")],
    requests: &[
        "GET /",
        "GET /x\nauthorization: Bearer key-1234567890",
        "GET /x\nauthorization: Bearer key-1234567890\norigin: https://app.example.com",
        "GET /x\nauthorization: Bearer other",
        "OPTIONS /x\norigin: https://app.example.com",
        "OPTIONS /x\nauthorization: Bearer key-1234567890",
        "POST /x\nauthorization: Bearer key-1234567890\ncontent-length: 2\n\n{}",
        "PURGE /x",
    ],
};

pub const CERTIFICATE: Case = Case {
    file: "certificate.conf",
    port: 80,
    variables: &[],
    requests: &[
        "GET /",
        "GET /x?y=%20z",
        "GET /.well-known/acme-challenge/x",
        "GET /auth/x\nhost: inside.example.com",
        "GET /API/x\nhost: inside.example.com",
        "GET /api/v1/users/1/image\nhost: inside.example.com",
        "GET /a/b.PNG\nhost: inside.example.com",
        "GET /page\nhost: inside.example.com",
    ],
};

pub const PROVIDER: Case = Case {
    file: "provider.conf",
    port: 8443,
    variables: &[("NGINX_SECRET_1", "sk-ant-1234567890")],
    requests: &[
        "POST /v1/messages?beta=true\ncontent-length: 2\nx-api-key: mine\n\n{}",
        "GET /v1/models",
        "GET /health",
        "GET /healthy?x",
    ],
};

pub const PASSWORDS: Case = Case {
    file: "passwords.conf",
    port: 80,
    variables: &[],
    requests: &[
        "GET /",
        // myuser:mypassword
        "GET /\nauthorization: Basic bXl1c2VyOm15cGFzc3dvcmQ=",
        "GET /\nauthorization: Basic bXl1c2VyOndyb25n",
        "GET /inside",
    ],
};

pub const LIMITED: Case = Case {
    file: "limited.conf",
    port: 80,
    variables: &[],
    requests: &["GET /a", "GET /b", "GET /c", "GET /d", "GET /health", "GET /health/x", "GET /metrics", "GET /e"],
};

pub const RELAY: Case = Case {
    file: "relay.conf",
    port: 80,
    variables: &[],
    requests: &[
        "GET /",
        "GET /api/store/1",
        "GET /api/store",
        "GET /api/12/x",
        "GET /api/0/relays/x",
        "GET /api/0/other",
        "GET /_assets/a/b.js?v=1",
        "GET /_static/x",
        "GET /js-sdk/x",
        "GET /x\nx-forwarded-for: 203.0.113.7\nx-forwarded-proto: https",
        "GET /x\nx-forwarded-for: 203.0.113.7, 10.1.2.3",
    ],
};

pub const BALANCED: Case = Case {
    file: "balanced.conf",
    port: 80,
    variables: &[],
    requests: &["GET /x", "GET /redirect", "POST /v1/chat\ncontent-length: 2\n\n{}", "GET /fails"],
};

pub const PLAIN: Case =
    Case { file: "plain.conf", port: 80, variables: &[], requests: &["GET /x\naccept-encoding: br", "GET /redirect"] };

pub const CHAT_UI: Case = Case {
    file: "chat_ui",
    port: 8080,
    variables: &[
        ("WORKERS", "1"),
        ("KEEPALIVE", "65s"),
        ("MAX_BODY", "100000"),
        ("PORT", "8080"),
        ("SERVER_NAME", "chat.example.com"),
        ("READ_TIMEOUT", "30s"),
        ("MORE_DIRECTIVES", ""),
    ],
    requests: &[
        "GET /",
        "GET /console/api/x?y",
        "GET /console",
        "GET /v1x",
        "GET /socket.io/x",
        "GET /hooks/a?b=c\nhost: chat.example.com:8080",
        "POST /v1/chat\ncontent-length: 200000",
        "GET /redirect\nhost: chat.example.com:8080",
    ],
};

pub const GATE: Case = Case {
    file: "gate.conf",
    port: 80,
    variables: &[("NGINX_SECRET_1", "client-1"), ("NGINX_SECRET_2", "client-2")],
    requests: &[
        // what the server decides holds for paths that no location takes, and before a path gets its slash
        "GET /",
        "GET /nothing\nx-api-key: client-3",
        "GET /ollama",
        "GET /ollama\nx-api-key: client-2",
        "GET /healthz",
        "GET /healthz\nx-api-key: client-1",
        "OPTIONS /",
        "OPTIONS /ollama/x\norigin: https://app.example.com",
        "GET /ollama/api/tags\nx-api-key: client-1",
        "GET /ollama/api/tags?x=%20\nx-api-key: CLIENT-1",
        "GET /ollama/a//b/%61?\nx-api-key: client-1\nhost: models.example.com:8080",
        "POST /llm/small/v1/chat\nx-api-key: client-2\ncontent-length: 2\n\n{}",
        "POST /llm/small/v1/chat\nx-api-key: client-22\ncontent-length: 2\n\n{}",
        "GET /llm/small/fails\nx-api-key: client-2",
        "GET /ollama/ws\nx-api-key: client-1\nupgrade: websocket\nconnection: upgrade",
        "GET /llm/small/ws\nx-api-key: client-1\nupgrade: websocket\nconnection: upgrade",
    ],
};

pub const HUB: Case = Case {
    file: "hub.conf",
    port: 80,
    variables: &[],
    requests: &[
        "GET /",
        "POST /api/chat\ncontent-length: 2\n\n{}",
        "GET /api/chat/history?x=1",
        "GET /api/chat/a%20b/%41/../c//d",
        "GET //api//chat?",
        "GET /%61pi/chat",
        "GET /api/chatter",
        "GET /api/documents/query?q=a&q=b",
        "GET /api/documents",
        "GET /api/documents/redirect",
        "GET /api/agents/fails",
        "GET /api/agents/x\nhost: HUB.example.com:8080",
        "GET /api/agents/x\nhost: hub.example.com.",
        "GET /admin/x",
        "GET /keys",
        "GET /health",
        "HEAD /healthy",
        "POST /other\ncontent-length: 2\n\n{}",
        "GET /api/agents/x\nupgrade: websocket\nconnection: upgrade\nsec-websocket-key: YQ==\nsec-websocket-version: 13",
    ],
};

pub const PROVIDERS: Case = Case {
    file: "providers.conf",
    port: 80,
    variables: &[],
    requests: &[
        "GET /v1/models\nhost: claude.example.com",
        "OPTIONS /v1/models\nhost: claude.example.com",
        "POST /v1/x?\nhost: claude.example.com\nx_under: 1\ncontent-length: 2\n\n{}",
        "GET /fails\nhost: claude.example.com",
        "GET /redirect\nhost: claude.example.com",
        "GET /missing\nhost: claude.example.com",
        "GET /x\nhost: gemini.example.com\nx_under: 1",
        "GET /x\nhost: GEMINI.example.com:8080\nx-forwarded-ssl: off",
        "GET /fails\nhost: gemini.example.com",
        "GET /redirect\nhost: gemini.example.com",
        "GET /gone\nhost: gemini.example.com",
        "POST /x\nhost: gemini.example.com\ncontent-length: 2\n\n{}",
        "GET /ws\nhost: gemini.example.com\nupgrade: websocket\nconnection: upgrade\nsec-websocket-key: YQ==\nsec-websocket-version: 13",
    ],
};

pub const KEYED: Case = Case {
    file: "keyed.conf",
    port: 80,
    variables: &[("NGINX_SECRET_1", "MODEL_KEY_1234567890")],
    requests: &[
        "GET /",
        "GET /x\nauthorization: Bearer MODEL_KEY_1234567890",
        "GET /x\nauthorization: bearer MODEL_KEY_1234567890",
        "GET /x\nauthorization: Bearer model_key_1234567890",
        "GET /health",
        "GET /health\nauthorization: Bearer MODEL_KEY_1234567890",
        "GET /healthy/x?y\nauthorization: Bearer MODEL_KEY_1234567890",
    ],
};
