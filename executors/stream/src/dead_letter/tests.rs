use millstream_topology::kafka::raw_headers;

use super::{
    Body, Content, Letter,
    cut::{Cut, Origin, headers},
};

fn content() -> Content {
    let forged = (b"millstream.offset".to_vec(), Some(b"99".to_vec()));
    let bytes = (vec![0xff, b'x'], Some(vec![0, 1]));
    Content { timestamp_ms: None, key: Some(vec![7; 9]), value: Some(vec![8; 5]), headers: vec![forged, bytes] }
}

fn sent(cut: Cut, content: &Content) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
    let detail = "ä".repeat(5_000);
    let letter = Letter { offset: 3, body: Body::InKafka, reason: "overflow".into(), detail };
    let origin = Origin { job: "j", topic: "t", partition: 1, gone: None };
    let headers = headers(&origin, &letter, content, cut);
    raw_headers(headers.as_borrowed()).into_iter().map(|(n, v)| (n.to_vec(), v.map(<[u8]>::to_vec))).collect()
}

#[test]
fn a_letter_is_tried_alone_before_anything_is_left_out_and_the_key_goes_last() {
    let content = content();
    let mut steps = vec![Cut::Together];
    while let Some(next) = steps.last().and_then(|cut| cut.next(&content)) {
        steps.push(next);
    }
    assert_eq!(steps, [Cut::Together, Cut::Alone, Cut::Value, Cut::Headers, Cut::Key]);
    assert_eq!(Cut::Alone.value(&content), content.value.as_deref());
    assert_eq!((Cut::Value.value(&content), Cut::Headers.key(&content)), (None, content.key.as_deref()));
    let only_key = Content { key: Some(vec![1]), ..Content::default() };
    assert_eq!(Cut::Alone.next(&only_key), Some(Cut::Key));
    assert_eq!(Cut::Alone.next(&Content::default()), None);
}

#[test]
fn names_are_kept_byte_for_byte_and_forged_ones_are_never_taken_for_ours() {
    let content = content();
    let all = sent(Cut::Alone, &content);
    let offsets: Vec<_> = all.iter().filter(|(name, _)| name == b"millstream.offset").collect();
    assert_eq!(offsets, [&(b"millstream.offset".to_vec(), Some(b"3".to_vec()))]);
    assert_eq!(all[all.len() - 2], (b"record.millstream.offset".to_vec(), Some(b"99".to_vec())));
    assert_eq!(all.last(), content.headers.last());
    assert!(all.iter().all(|(_, value)| value.as_ref().is_none_or(|value| value.len() <= 2_048)));
}

#[test]
fn what_is_left_out_is_said() {
    let all = sent(Cut::Key, &content());
    let said = |name: &[u8]| all.iter().find(|(n, _)| n == name).and_then(|(_, value)| value.clone());
    assert_eq!(said(b"millstream.value_dropped_bytes"), Some(b"5".to_vec()));
    assert_eq!(said(b"millstream.headers_dropped"), Some(b"2".to_vec()));
    assert_eq!(said(b"millstream.key_dropped_bytes"), Some(b"9".to_vec()));
    assert!(all.iter().all(|(name, _)| name.starts_with(b"millstream.")));
}
