//! Is a job right: alone (form and SQL), and against its live topic and table. Used by `deploy` and `validate` alike.

use millstream_pipeline::{Binding, Transform, bind};
use millstream_spec::{Diagnostic, Diagnostics, JobFile, Start, Ttl};
use millstream_topology::{CassandraError, KafkaError, LiveFacts, live_check};

use crate::{chain, clock};

/// A job that is right as far as one machine alone can tell.
pub struct Checked {
    /// The file and its spec.
    pub file: JobFile,
    /// Its SQL, planned.
    pub transform: Transform,
}

/// What the live check has found out.
pub struct Live {
    /// The transform bound to the table.
    pub binding: Binding,
    /// Partitions of the topic.
    pub partitions: usize,
}

/// Checks the form of a job and plans its SQL. `file_name` is only shown.
pub fn offline(file_name: &str, text: &str) -> Result<Checked, Diagnostics> {
    let mut file = millstream_spec::parse(file_name, text)?;
    if let Some(warning) = start_to_come(&file) {
        file.warnings = file.diagnostics(file.warnings.items().iter().cloned().chain([warning]).collect());
    }
    let transform = match Transform::compile(&file.spec.columns, &file.spec.transform.sql) {
        Ok(transform) => transform,
        Err(error) => {
            let error = file.sql_error(error.message, error.help, error.span);
            return Err(with_warnings(&file, vec![error]));
        }
    };
    let errors = outputs(&file, &transform);
    if errors.is_empty() { Ok(Checked { file, transform }) } else { Err(with_warnings(&file, errors)) }
}

fn start_to_come(file: &JobFile) -> Option<Diagnostic> {
    let Start::TimestampMs(start_ms) = file.spec.source.start else { return None };
    let place = file.span("source.kafka.start").unwrap_or(0..0);
    let warning = Diagnostic::warning(place, "`source.kafka.start` is a time to come")
        .note("no record has that time yet: each partition begins at its log end when the job starts, also with records from before that time")
        .help("deploy the job when that time has come, or write \"latest\"");
    (start_ms > clock::wall_ms().cast_signed()).then_some(warning)
}

/// The sink names only columns that come out of the SQL.
fn outputs(file: &JobFile, transform: &Transform) -> Vec<Diagnostic> {
    const SINK: &str = "sink.cassandra";
    let sink = &file.spec.sink;
    let ttl = sink.ttl.iter().filter_map(|ttl| match ttl {
        Ttl::Column(column) => Some((format!("{SINK}.ttl.column"), column)),
        Ttl::Secs(_) => None,
    });
    let columns = sink.columns.iter().map(|(table, output)| (format!("{SINK}.columns.{table}"), output));
    let fields = transform.output_schema().fields();
    let known: Vec<&str> = fields.iter().map(|f| f.name().as_str()).collect();
    ttl.chain(columns)
        .filter(|(_, output)| !known.contains(&output.as_str()))
        .map(|(at, output)| {
            let help = format!("its output columns are {}", known.join(", "));
            file.error_at(&at, format!("no column `{output}` comes out of the SQL"), Some(help))
        })
        .collect()
}

fn with_warnings(file: &JobFile, errors: Vec<Diagnostic>) -> Diagnostics {
    file.diagnostics(file.warnings.items().iter().cloned().chain(errors).collect())
}

/// Checks a job against Kafka and Cassandra: do topic, dead-letter topic and table exist, do the columns fit, may it be written so.
/// Everything found is told, not only the first.
pub async fn live(checked: &Checked) -> Result<Live, Diagnostics> {
    let file = &checked.file;
    let LiveFacts { partitions, dead_letter_partitions, table } = live_check(&file.spec).await;
    let mut errors = vec![];
    let partitions = partitions.map_err(|error| errors.push(kafka_error(file, TOPIC, &error)));
    if let Some(Err(error)) = dead_letter_partitions {
        errors.push(kafka_error(file, DEAD_LETTER, &error));
    }
    let binding = match table {
        Ok(table) => bind(&checked.transform, &file.spec.sink, &table)
            .map_err(|found| errors.extend(found.into_iter().map(|e| file.error_at(&e.at, e.message, e.help)))),
        Err(error) => {
            errors.push(cassandra_error(file, &error));
            Err(())
        }
    };
    match (partitions, binding) {
        (Ok(partitions), Ok(binding)) if errors.is_empty() => Ok(Live { binding, partitions }),
        _ => Err(with_warnings(file, errors)),
    }
}

const TOPIC: &str = "source.kafka.topic";
const DEAD_LETTER: &str = "errors.bad_record.dead_letter";

fn pointed(file: &JobFile, at: &str, error: &dyn std::error::Error, remedy: String) -> Diagnostic {
    let diagnostic = file.error_at(at, error.to_string(), Some(remedy));
    match error.source() {
        Some(cause) => diagnostic.note(chain(cause)),
        None => diagnostic,
    }
}

fn kafka_error(file: &JobFile, topic: &str, error: &KafkaError) -> Diagnostic {
    let at = match error {
        KafkaError::Setting(_) | KafkaError::Options(_) => "source.kafka.options",
        KafkaError::Unreachable { .. } | KafkaError::Interrupted => "source.kafka.bootstrap",
        KafkaError::TopicMissing { .. } | KafkaError::TopicRefused { .. } => topic,
    };
    pointed(file, at, error, error.remedy())
}

fn cassandra_error(file: &JobFile, error: &CassandraError) -> Diagnostic {
    let at = match error {
        CassandraError::Setting(_) | CassandraError::Login(_) => "sink.cassandra.password",
        CassandraError::Pem(_) | CassandraError::TlsName { .. } | CassandraError::Tls { .. } => "sink.cassandra.tls",
        CassandraError::Unreachable { .. } => "sink.cassandra.contact_points",
        CassandraError::DatacenterMissing { .. } => "sink.cassandra.datacenter",
        CassandraError::KeyspaceMissing { .. } => "sink.cassandra.keyspace",
        CassandraError::TableMissing { .. } | CassandraError::Type { .. } => "sink.cassandra.table",
        CassandraError::Statement { .. } => "sink.cassandra",
    };
    pointed(file, at, error, error.remedy())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_to_come_is_warned_of() {
        let job = |start: &str| {
            format!(
                "name = \"a\"\n[source.kafka]\nbootstrap = [\"127.0.0.1:9092\"]\ntopic = \"a\"\nstart = \"{start}\"\n\
                 [source.columns]\nid = \"int\"\n[transform]\nsql = \"SELECT id FROM input\"\n\
                 [sink.cassandra]\ncontact_points = [\"127.0.0.1:9042\"]\nkeyspace = \"k\"\ntable = \"t\"\n"
            )
        };
        let warnings = |start: &str| offline("a.toml", &job(start)).map(|checked| checked.file.warnings).unwrap();
        let warned = warnings("9000-01-01T00:00:00Z");
        assert!(warned.to_string().contains("`source.kafka.start` is a time to come"), "{warned}");
        assert!(warnings("2013-01-01T00:00:00Z").is_empty());
    }
}
