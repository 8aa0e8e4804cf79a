//! What `rdkafka` has no wrapper for: racks of the brokers, one broker's configuration, a topic's id, leader epochs, and
//! headers whose names are not UTF-8 (its own iterator panics at them). The only file of the house with unsafe code.

use std::{
    collections::BTreeMap,
    ffi::{CStr, CString, c_char},
    ptr::{self, NonNull},
    time::Duration,
};

use rdkafka::{
    TopicPartitionList, bindings as rd,
    client::{Client, ClientContext},
    message::{BorrowedHeaders, BorrowedMessage, OwnedHeaders},
};

/// Name and value of one header, as bytes.
pub type RawHeader<'a> = (&'a [u8], Option<&'a [u8]>);

/// All headers, in record order, whatever their names are made of.
pub fn raw_headers(headers: &BorrowedHeaders) -> Vec<RawHeader<'_>> {
    let native = ptr::from_ref(headers).cast::<rd::rd_kafka_headers_t>();
    let mut all = vec![];
    loop {
        let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
        // SAFETY: a `BorrowedHeaders` is librdkafka's own list seen through a reference; names are C strings, values have
        // `size` bytes, and both live as long as the list.
        unsafe {
            let error = rd::rd_kafka_header_get_all(native, all.len(), &mut name, &mut value, &mut size);
            if error != rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR || name.is_null() {
                return all;
            }
            let value = (!value.is_null()).then(|| slice(value.cast::<u8>().cast_mut(), size));
            all.push((CStr::from_ptr(name).to_bytes(), value));
        }
    }
}

/// Adds a header whose name may be any bytes but zeros.
pub fn add_header(headers: OwnedHeaders, (name, value): RawHeader<'_>) -> OwnedHeaders {
    let native = ptr::from_ref(headers.as_borrowed()).cast::<rd::rd_kafka_headers_t>().cast_mut();
    let (start, size) = value.map_or((ptr::null(), 0), |value| (value.as_ptr(), value.len()));
    // SAFETY: the list is owned here and nobody else sees it; name and value are copied, and have the lengths given.
    unsafe { rd::rd_kafka_header_add(native, name.as_ptr().cast(), name.len() as isize, start.cast(), size as isize) };
    headers
}

/// Rack of each broker that has one, by broker id. An error is Kafka's text.
pub(super) fn racks<C: ClientContext>(client: &Client<C>, timeout: Duration) -> Result<BTreeMap<i32, String>, String> {
    let call = Call::new(client, rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECLUSTER, timeout)?;
    // SAFETY: the client outlives the call; options and queue are alive until `call` is dropped.
    unsafe { rd::rd_kafka_DescribeCluster(client.native_ptr(), call.options.as_ptr(), call.queue.as_ptr()) };
    let event = call.answer(timeout)?;

    let mut racks = BTreeMap::new();
    // SAFETY: the result, its nodes and their texts belong to the event, which lives until the end of this function; the
    // array has `count` entries.
    unsafe {
        let result = rd::rd_kafka_event_DescribeCluster_result(event.0.as_ptr());
        if result.is_null() {
            return Err("an answer of another kind".to_owned());
        }
        let mut count = 0;
        let nodes = rd::rd_kafka_DescribeCluster_result_nodes(result, &mut count);
        for node in slice(nodes, count) {
            if let Some(rack) = text(rd::rd_kafka_Node_rack(*node)).filter(|rack| !rack.is_empty()) {
                racks.insert(rd::rd_kafka_Node_id(*node), rack);
            }
        }
    }
    Ok(racks)
}

/// One entry of one broker's configuration; none when it has no value. An error is Kafka's text.
pub(super) fn broker_setting<C: ClientContext>(
    client: &Client<C>,
    broker: i32,
    name: &str,
    timeout: Duration,
) -> Result<Option<String>, String> {
    let call = Call::new(client, rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS, timeout)?;
    let id = CString::new(broker.to_string()).map_err(|error| error.to_string())?;
    // SAFETY: `id` is a C string; the resource is copied by DescribeConfigs and destroyed right after; options and queue are
    // alive until `call` is dropped.
    unsafe {
        let kind = rd::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_BROKER;
        let mut resource = rd::rd_kafka_ConfigResource_new(kind, id.as_ptr());
        if resource.is_null() {
            return Err("no memory for a question".to_owned());
        }
        let (options, queue) = (call.options.as_ptr(), call.queue.as_ptr());
        rd::rd_kafka_DescribeConfigs(client.native_ptr(), &mut resource, 1, options, queue);
        rd::rd_kafka_ConfigResource_destroy(resource);
    }
    let event = call.answer(timeout)?;

    // SAFETY: the result, its resources, entries and texts belong to the event, which lives until the end of this function;
    // the arrays have as many entries as counted.
    unsafe {
        let result = rd::rd_kafka_event_DescribeConfigs_result(event.0.as_ptr());
        if result.is_null() {
            return Err("an answer of another kind".to_owned());
        }
        let mut count = 0;
        let resources = rd::rd_kafka_DescribeConfigs_result_resources(result, &mut count);
        for resource in slice(resources, count) {
            if rd::rd_kafka_ConfigResource_error(*resource) != rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                let reason = text(rd::rd_kafka_ConfigResource_error_string(*resource));
                return Err(reason.unwrap_or_else(|| "refused".to_owned()));
            }
            let mut count = 0;
            let entries = rd::rd_kafka_ConfigResource_configs(*resource, &mut count);
            for entry in slice(entries, count) {
                if text(rd::rd_kafka_ConfigEntry_name(*entry)).as_deref() == Some(name) {
                    return Ok(text(rd::rd_kafka_ConfigEntry_value(*entry)));
                }
            }
        }
    }
    Ok(None)
}

/// Kafka's id of a topic; none when there is no topic of this name. Empty where brokers know no ids. An error is Kafka's
/// text.
pub(super) fn topic_id<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    timeout: Duration,
) -> Result<Option<String>, String> {
    let call = Call::new(client, rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS, timeout)?;
    let name = CString::new(topic).map_err(|error| error.to_string())?;
    // SAFETY: `name` is a C string; the collection copies it and is destroyed right after DescribeTopics has copied that;
    // options and queue are alive until `call` is dropped.
    unsafe {
        let topics = rd::rd_kafka_TopicCollection_of_topic_names(&mut name.as_ptr(), 1);
        if topics.is_null() {
            return Err("no memory for a question".to_owned());
        }
        rd::rd_kafka_DescribeTopics(client.native_ptr(), topics, call.options.as_ptr(), call.queue.as_ptr());
        rd::rd_kafka_TopicCollection_destroy(topics);
    }
    let event = call.answer(timeout)?;

    // SAFETY: the result, its topics, errors and texts belong to the event, which lives until the end of this function; the
    // array has `count` entries.
    unsafe {
        let result = rd::rd_kafka_event_DescribeTopics_result(event.0.as_ptr());
        if result.is_null() {
            return Err("an answer of another kind".to_owned());
        }
        let mut count = 0;
        let topics = rd::rd_kafka_DescribeTopics_result_topics(result, &mut count);
        let Some(found) = slice(topics, count).first() else { return Err("an answer without the topic".to_owned()) };
        let error = rd::rd_kafka_TopicDescription_error(*found);
        match rd::rd_kafka_error_code(error) {
            rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => {}
            rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART => return Ok(None),
            _ => return Err(text(rd::rd_kafka_error_string(error)).unwrap_or_else(|| "refused".to_owned())),
        }
        let id = rd::rd_kafka_TopicDescription_topic_id(*found);
        let is_known = !id.is_null()
            && (rd::rd_kafka_Uuid_most_significant_bits(id), rd::rd_kafka_Uuid_least_significant_bits(id)) != (0, 0);
        Ok(Some(if is_known { text(rd::rd_kafka_Uuid_base64str(id)).unwrap_or_default() } else { String::new() }))
    }
}

/// Leader epoch under which a record was appended; none where brokers tell none.
pub(super) fn leader_epoch(message: &BorrowedMessage<'_>) -> Option<i32> {
    // SAFETY: the message is alive as long as its borrow.
    let epoch = unsafe { rd::rd_kafka_message_leader_epoch(message.ptr()) };
    (epoch >= 0).then_some(epoch)
}

/// Leader epoch of an entry of a list; none when it has none, or is not there.
pub(super) fn leader_epoch_of(list: &TopicPartitionList, topic: &str, partition: i32) -> Option<i32> {
    let topic = CString::new(topic).ok()?;
    // SAFETY: the list is alive and borrowed; the entry found belongs to it.
    unsafe {
        let entry = rd::rd_kafka_topic_partition_list_find(list.ptr(), topic.as_ptr(), partition);
        if entry.is_null() {
            return None;
        }
        Some(rd::rd_kafka_topic_partition_get_leader_epoch(entry)).filter(|epoch| *epoch >= 0)
    }
}

/// Sets the leader epoch of an entry of a list, if it is there.
pub(super) fn set_leader_epoch(list: &mut TopicPartitionList, topic: &str, partition: i32, epoch: i32) {
    let Ok(topic) = CString::new(topic) else { return };
    // SAFETY: the list is alive and borrowed by nobody else; the entry found belongs to it.
    unsafe {
        let entry = rd::rd_kafka_topic_partition_list_find(list.ptr(), topic.as_ptr(), partition);
        if !entry.is_null() {
            rd::rd_kafka_topic_partition_set_leader_epoch(entry, epoch);
        }
    }
}

/// One question on its way, with what librdkafka needs for it.
struct Call {
    options: NonNull<rd::rd_kafka_AdminOptions_t>,
    queue: NonNull<rd::rd_kafka_queue_t>,
}

/// Room for an error text of librdkafka; its own programs use as much.
const ERROR_TEXT_BYTES: usize = 512;

impl Call {
    fn new<C: ClientContext>(
        client: &Client<C>,
        question: rd::rd_kafka_admin_op_t,
        timeout: Duration,
    ) -> Result<Call, String> {
        // SAFETY: the client's pointer is valid; what is made here is destroyed by `drop`.
        let call = unsafe {
            let options = NonNull::new(rd::rd_kafka_AdminOptions_new(client.native_ptr(), question));
            let queue = NonNull::new(rd::rd_kafka_queue_new(client.native_ptr()));
            Call { options: options.ok_or("no memory for a question")?, queue: queue.ok_or("no memory for a queue")? }
        };
        let mut error_text: [c_char; ERROR_TEXT_BYTES] = [0; ERROR_TEXT_BYTES];
        let millis = millis(timeout);
        // SAFETY: the buffer has the given length, and librdkafka ends what it writes with a zero.
        unsafe {
            let (options, buffer) = (call.options.as_ptr(), error_text.as_mut_ptr());
            let error = rd::rd_kafka_AdminOptions_set_request_timeout(options, millis, buffer, error_text.len());
            if error != rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                return Err(text(error_text.as_ptr()).unwrap_or_default());
            }
        }
        Ok(call)
    }

    /// Blocks until the answer is there, or for the time given.
    fn answer(&self, timeout: Duration) -> Result<Event, String> {
        // librdkafka itself answers when the request times out; a little more, so that it does.
        let wait = timeout + Duration::from_millis(500);
        // SAFETY: the queue is alive; the event is destroyed by `Event::drop`, and its error text is copied before.
        unsafe {
            let event = NonNull::new(rd::rd_kafka_queue_poll(self.queue.as_ptr(), millis(wait)));
            let event = Event(event.ok_or_else(|| format!("no answer within {} s", wait.as_secs()))?);
            if rd::rd_kafka_event_error(event.0.as_ptr()) != rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                let reason = text(rd::rd_kafka_event_error_string(event.0.as_ptr()));
                return Err(reason.unwrap_or_else(|| "refused".to_owned()));
            }
            Ok(event)
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        // SAFETY: both were made by `new` and are not used afterwards; librdkafka keeps its own reference to the queue while
        // an answer is on its way.
        unsafe {
            rd::rd_kafka_AdminOptions_destroy(self.options.as_ptr());
            rd::rd_kafka_queue_destroy(self.queue.as_ptr());
        }
    }
}

struct Event(NonNull<rd::rd_kafka_event_t>);

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: the event came from `rd_kafka_queue_poll` and is not used afterwards.
        unsafe { rd::rd_kafka_event_destroy(self.0.as_ptr()) };
    }
}

fn millis(time: Duration) -> i32 {
    i32::try_from(time.as_millis()).unwrap_or(i32::MAX)
}

/// SAFETY: `first` is null or points to `count` entries that live as long as the answer is used.
unsafe fn slice<'a, T>(first: *mut T, count: usize) -> &'a [T] {
    if first.is_null() || count == 0 {
        return &[];
    }
    // SAFETY: as promised by the caller.
    unsafe { &*ptr::slice_from_raw_parts(first, count) }
}

/// SAFETY: `text` is null or a C string.
unsafe fn text(text: *const c_char) -> Option<String> {
    // SAFETY: as promised by the caller.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
}
