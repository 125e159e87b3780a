//! Tests of the generated services as a whole: every structure, every operation.

mod client;
mod dispatch;
mod examples;
mod protocol;
pub(crate) mod sample;
mod shapes;

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// Runs a future that never waits.
pub(crate) fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the future waits for something"),
    }
}
