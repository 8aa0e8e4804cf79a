//! `GET /api/v1/openapi.json`: the API as an OpenAPI 3.1 document. Its operations are in `operations`; the schemas of what
//! they answer come from the types that are answered. `docs/openapi.json` is a copy, in which each change of it is seen.

mod operations;

use std::sync::LazyLock;

use axum::{
    http::header,
    response::{IntoResponse, Response},
};
use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use self::operations::{Answer, Body, Operation};
use super::problem::{MEDIA_TYPE, Problem};

/// Where it is.
pub(super) const PATH: &str = "/api/v1/openapi.json";

const ABOUT: &str = "Jobs of a Millstream scheduler; docs/api.md says what is promised of it. A GET may be a HEAD as well. Other paths are \
                     answered with 404, other methods with 405 and `Allow`. Every answer that is no success is a Problem, but for that of \
                     /health, and for 408 and what is no HTTP, which have no body.";

/// Name, place, type, pattern and meaning of what may be sent beside a body. Only what is in the path must be.
const PARAMETERS: [(&str, &str, &str, &str, &str); 6] = [
    ("name", "path", "string", "^[a-z][a-z0-9-]{0,62}$", "the job"),
    ("sha256", "path", "string", "^[0-9a-f]{64}$", "the program's checksum"),
    ("file", "query", "string", "", "what the job file is called in messages"),
    ("force", "query", "boolean", "", "changes a job that runs even if no agent could hold it"),
    ("If-Match", "header", "string", TAGS, "only if the job is one of these versions, or there at all (`*`)"),
    ("If-None-Match", "header", "string", TAGS, "only if the job is none of these versions, or not there at all (`*`)"),
];

/// As `precondition` reads them.
const TAGS: &str = r#"^(\*|"[0-9-]+"( *, *"[0-9-]+")*)$"#;

/// Status, header and meaning of what is no success.
const FAILURES: [(u16, &str, &str); 17] = [
    (307, "Location", "this scheduler is a standby; the one that leads is there"),
    (400, "", "the request cannot be read, or names no host, or no job"),
    (401, "WWW-Authenticate", "no token came with it, or one that is not known"),
    (403, "", "the token is not good for it, or a page of another site asks"),
    (404, "", "there is no such job, or no such program"),
    (408, "", "the request did not come in time, or its answer; without a body"),
    (409, "", "the job is not stopped"),
    (412, "", "the job is not the version that was expected"),
    (413, "", "the body is larger than 1 MiB"),
    (415, "", "the body is of another type"),
    (421, "", "the scheduler is not known by that name: `hosts` in [http] of its settings"),
    (422, "", "the job is refused and nothing was changed; `diagnostics` has each fault of the file"),
    (429, "Retry-After", "no more job files are checked, or backups made, at once"),
    (500, "", "a bug; or the executor's file was written over"),
    (502, "", "Kafka, Cassandra or the Mesos master cannot be read"),
    (503, "", "no scheduler leads, or the state store fails"),
    (504, "", "Kafka and Cassandra have not answered in time"),
];

static TEXT: LazyLock<String> = LazyLock::new(|| format!("{:#}\n", document()));

pub(super) async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], TEXT.as_str()).into_response()
}

fn document() -> Value {
    // What is always written is required.
    let mut settings = SchemaSettings::draft2020_12().for_serialize();
    settings.definitions_path = "/components/schemas".into();
    let mut schemas = settings.into_generator();
    let problem = schemas.subschema_for::<Problem<'static>>().to_value();
    let mut paths = Map::new();
    for (operations, of_leader) in [(operations::of_all(), false), (operations::of_leader(), true)] {
        for operation in operations {
            let path = paths.entry(operation.path).or_insert_with(|| json!({}));
            path[operation.method] = described(&operation, of_leader, &mut schemas);
        }
    }
    let failures: Map<String, Value> = FAILURES
        .iter()
        .map(|&(code, header, meaning)| (code.to_string(), failure(code, header, meaning, &problem)))
        .collect();
    let token =
        "`millstream token` makes one; the roles are read, operate and admin, and each may do what those before it may";
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Millstream",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
            "description": ABOUT,
        },
        "paths": paths,
        "components": {
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer", "description": token } },
            "responses": failures,
            "schemas": schemas.take_definitions(true),
        },
    })
}

fn described(operation: &Operation, of_leader: bool, schemas: &mut SchemaGenerator) -> Value {
    let reference = |code: u16| json!({ "$ref": format!("#/components/responses/{code}") });
    let failures = operation.failures(of_leader).into_iter();
    let mut responses: Map<String, Value> = failures.map(|code| (code.to_string(), reference(code))).collect();
    let success = success(operation, schemas);
    if let Some(code) = operation.also {
        let mut also = success.clone();
        also["content"][MEDIA_TYPE] = json!({ "schema": schemas.subschema_for::<Problem<'static>>() });
        responses.insert(code.to_string(), also);
    }
    responses.insert(operation.code.to_string(), success);
    let needs: Vec<Value> = operation.role.iter().map(|role| json!({ "token": [role.word()] })).collect();
    let mut described = json!({
        "operationId": operation.id,
        "summary": operation.summary,
        "security": needs,
        "parameters": operation.in_path().chain(operation.parameters.iter().copied()).map(parameter).collect::<Vec<_>>(),
        "responses": responses,
    });
    if let Some(body) = body(operation.body) {
        described["requestBody"] = body;
    }
    described
}

fn body(body: Body) -> Option<Value> {
    let (kind, schema, about) = match body {
        Body::None => return None,
        Body::Job => {
            let schema = json!({ "type": "string", "maxLength": millstream_spec::MAX_FILE_BYTES });
            ("application/toml", schema, "The job file in UTF-8, at most 1 MiB.")
        }
        Body::Empty => {
            let schema = json!({ "type": "object", "maxProperties": 0 });
            ("application/json", schema, "Not read. Pages of other sites can't send its type.")
        }
    };
    Some(json!({ "required": true, "description": about, "content": { kind: { "schema": schema } } }))
}

fn success(operation: &Operation, schemas: &mut SchemaGenerator) -> Value {
    let mut success = json!({ "description": "done" });
    match operation.answer {
        Answer::None => {}
        Answer::Json(schema) => success["content"] = json!({ "application/json": { "schema": schema(schemas) } }),
        Answer::Text(kind) => success["content"] = json!({ kind: { "schema": { "type": "string" } } }),
        Answer::Bytes => success["content"] = json!({ "application/octet-stream": {} }),
    }
    if let Some(name) = operation.header {
        success["headers"] = headers(name);
    }
    success
}

fn failure(code: u16, header: &str, meaning: &str, problem: &Value) -> Value {
    let mut failure = json!({ "description": meaning });
    if code != 408 {
        failure["content"] = json!({ MEDIA_TYPE: { "schema": problem } });
    }
    if !header.is_empty() {
        failure["headers"] = headers(header);
    }
    failure
}

fn headers(name: &str) -> Value {
    json!({ name: { "required": true, "schema": { "type": "string" } } })
}

fn parameter(name: &str) -> Value {
    let known = PARAMETERS.iter().find(|known| known.0 == name);
    let &(name, place, kind, pattern, meaning) = known.unwrap_or(&PARAMETERS[0]);
    let mut schema = json!({ "type": kind });
    if !pattern.is_empty() {
        schema["pattern"] = pattern.into();
    }
    json!({ "name": name, "in": place, "required": place == "path", "description": meaning, "schema": schema })
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;
    use crate::http;

    #[test]
    fn the_copy_for_readers_is_current() {
        let copy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&copy, TEXT.as_str()).expect("written");
        }
        let committed = fs::read_to_string(copy).unwrap_or_default();
        assert!(
            committed == *TEXT,
            "UPDATE=1 writes docs/openapi.json anew; read the difference, docs/api.md promises"
        );
    }

    /// The methods of each are compared in `tests/against_local/strangers.rs`, where a scheduler says them.
    #[test]
    fn it_has_the_paths_of_the_router() {
        fn paths<'a>(all: impl Iterator<Item = &'a str>) -> BTreeSet<&'a str> {
            all.collect()
        }
        let (of_all, of_leader) = (operations::of_all(), operations::of_leader());
        assert_eq!(
            paths(of_all.iter().map(|operation| operation.path)),
            paths(http::of_all().iter().map(|(path, _)| *path))
        );
        let routed = http::of_leader();
        assert_eq!(
            paths(of_leader.iter().map(|operation| operation.path)),
            paths(routed.iter().map(|(path, _)| *path))
        );
    }

    #[test]
    fn all_that_is_named_is_there() {
        let mut ids = BTreeSet::new();
        let mut used = BTreeSet::new();
        for (operations, of_leader) in [(operations::of_all(), false), (operations::of_leader(), true)] {
            for operation in operations {
                assert!(ids.insert(operation.id), "{} twice", operation.id);
                used.extend(operation.failures(of_leader));
                for name in operation.in_path().chain(operation.parameters.iter().copied()) {
                    assert!(PARAMETERS.iter().any(|known| known.0 == name), "{name}");
                }
            }
        }
        assert_eq!(used, FAILURES.iter().map(|failure| failure.0).collect());
    }

    /// Each status that the code can give is in the document.
    #[test]
    fn every_status_of_the_code_is_described() {
        let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let browser = src.join("../../http/src/browser.rs");
        let mut files = vec![src.join("plan.rs"), src.join("http.rs"), browser];
        files.extend(fs::read_dir(src.join("http")).expect("a folder").map(|entry| entry.expect("an entry").path()));
        let known: Vec<String> = FAILURES.iter().map(|failure| name(failure.0)).chain([200, 204].map(name)).collect();
        let mut seen = 0;
        for file in files.iter().filter(|file| file.is_file()) {
            let text = fs::read_to_string(file).expect("source");
            for status in text.split("StatusCode::").skip(1) {
                let status = status.split(|c: char| !c.is_ascii_uppercase() && c != '_').next().unwrap_or_default();
                // 405 is of no operation: the document speaks of it at its top.
                assert!(
                    status.is_empty() || status == "METHOD_NOT_ALLOWED" || known.iter().any(|known| known == status),
                    "{}: {status}",
                    file.display()
                );
                seen += 1;
            }
        }
        assert!(seen > 20, "{seen}");
    }

    /// As axum calls it.
    fn name(code: u16) -> String {
        let status = axum::http::StatusCode::from_u16(code).expect("a status");
        status.canonical_reason().expect("a name").to_uppercase().replace([' ', '-'], "_")
    }
}
