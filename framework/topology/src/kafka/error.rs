//! What can go wrong with Kafka, with a remedy for each.

use crate::{SettingError, nearest::did_you_mean};

/// Why a job's topic cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum KafkaError {
    /// A secret or other setting.
    #[error("a Kafka option has no value")]
    Setting(#[from] SettingError),
    /// librdkafka does not take the options.
    #[error("the Kafka options are refused")]
    Options(#[source] rdkafka::error::KafkaError),
    /// No broker answers.
    #[error("no Kafka broker answers ({})", causes.join("; "))]
    Unreachable {
        /// `address: cause`, one for each bootstrap address.
        causes: Vec<String>,
        /// What librdkafka says.
        #[source]
        source: rdkafka::error::KafkaError,
    },
    /// The topic is not there.
    #[error("topic `{topic}` does not exist")]
    TopicMissing {
        /// The topic.
        topic: String,
        /// Topics of similar names.
        nearest: Vec<String>,
    },
    /// The cluster does not tell about the topic.
    #[error("topic `{topic}` cannot be read: {reason}")]
    TopicRefused {
        /// The topic.
        topic: String,
        /// Kafka's reason.
        reason: String,
    },
    /// The task that asks was ended: the program stops.
    #[error("asking Kafka was interrupted")]
    Interrupted,
}

impl KafkaError {
    /// What to do about it, one line.
    pub fn remedy(&self) -> String {
        match self {
            KafkaError::Setting(error) => error.remedy(),
            KafkaError::Options(_) => {
                "correct [source.kafka.options]; their names and values are librdkafka's".to_owned()
            }
            KafkaError::Unreachable { .. } => {
                "check source.kafka.bootstrap, that the brokers run, and security.protocol in [source.kafka.options]"
                    .to_owned()
            }
            KafkaError::TopicMissing { topic, nearest } => {
                let create = format!(
                    "create it: kafka-topics --bootstrap-server BROKER --create --topic {topic} --partitions …"
                );
                match nearest.is_empty() {
                    true => create,
                    // A new topic may well have a name like another's: `orders.dead`.
                    false => format!("{} Or {create}", did_you_mean(nearest, String::new())),
                }
            }
            KafkaError::TopicRefused { .. } => {
                "grant the job's user Describe and Read on the topic, or correct source.kafka.topic".to_owned()
            }
            KafkaError::Interrupted => "start it again".to_owned(),
        }
    }
}
