//! Stories about a real daemon, told from outside over HTTP and WebSocket.
fn main() {}
