//! A collector for tests: takes OTLP over HTTP on a socket of its own, answers what it is told.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use opentelemetry_proto::tonic::{collector::trace::v1::ExportTraceServiceRequest, trace::v1::Span};
use prost::Message;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// What the next requests are answered, in their order; after that, 200.
type Answers = Arc<Mutex<Vec<Answer>>>;

#[derive(Debug, Clone)]
pub(super) enum Answer {
    /// This status line's rest, headers and body.
    Say(&'static str, Vec<u8>),
    /// Nothing at all.
    Silence,
}

#[derive(Debug, Clone)]
pub(super) struct Collector {
    pub(super) address: SocketAddr,
    answers: Answers,
    heads: Arc<Mutex<Vec<String>>>,
    bodies: Arc<Mutex<Vec<ExportTraceServiceRequest>>>,
}

impl Collector {
    pub(super) async fn start(answers: Vec<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let collector = Self {
            address: listener.local_addr().unwrap(),
            answers: Arc::new(Mutex::new(answers)),
            heads: Arc::default(),
            bodies: Arc::default(),
        };
        let own = collector.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(own.clone().answer(stream));
            }
        });
        collector
    }

    async fn answer(self, mut stream: TcpStream) {
        let mut read = Vec::new();
        let head_end = loop {
            if stream.read_buf(&mut read).await.unwrap_or(0) == 0 {
                return;
            }
            if let Some(at) = read.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
        };
        let head = String::from_utf8(read[..head_end].to_vec()).unwrap();
        let length =
            head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
        let length: usize = length.unwrap();
        while read.len() < head_end + length {
            assert!(stream.read_buf(&mut read).await.unwrap() > 0);
        }
        self.heads.lock().unwrap().push(head);
        self.bodies.lock().unwrap().push(ExportTraceServiceRequest::decode(&read[head_end..]).unwrap());
        let next = {
            let mut answers = self.answers.lock().unwrap();
            if answers.is_empty() { Answer::Say("200 OK\r\n", Vec::new()) } else { answers.remove(0) }
        };
        match next {
            Answer::Say(rest, body) => {
                let head = format!("HTTP/1.1 {rest}Content-Length: {}\r\n\r\n", body.len());
                let _ = stream.write_all(&[head.as_bytes(), &body].concat()).await;
            }
            Answer::Silence => std::future::pending().await,
        }
    }

    pub(super) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }

    pub(super) fn bodies(&self) -> Vec<ExportTraceServiceRequest> {
        self.bodies.lock().unwrap().clone()
    }

    pub(super) fn spans(&self) -> Vec<Span> {
        let bodies = self.bodies();
        let resources = bodies.into_iter().flat_map(|body| body.resource_spans);
        resources.flat_map(|resource| resource.scope_spans).flat_map(|scope| scope.spans).collect()
    }
}
