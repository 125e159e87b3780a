//! The network that EC2 describes: the model's. A load balancer is reached at its node's own addresses,
//! a task of the network mode `awsvpc` at its own.

pub(crate) use model::Vpc as Network;
