//! What a socket is to be, and the contradictions in it that can be seen before it is opened.

use std::sync::Arc;

use crate::endpoint::Endpoint;
use crate::error::LinkError;
use crate::options::Options;
use crate::security::Security;
use crate::socket_type::SocketType;

/// Everything a socket is to be.
#[derive(Debug, Clone)]
pub struct SocketSpec {
    /// The instance's name; part of the authenticator's domain.
    pub name: String,
    /// What kind of socket.
    pub socket_type: SocketType,
    /// Where it binds and connects; all of it, or the socket is not opened.
    pub endpoints: Vec<Endpoint>,
    /// Whom it trusts.
    pub security: Arc<Security>,
    /// Everything else.
    pub options: Options,
    /// What a SUB subscribes to (nothing: everything) or which groups a DISH joins. Of the
    /// other types RADIO checks them, and the rest ignores them.
    pub topics: Vec<String>,
}

impl SocketSpec {
    /// The contradictions that can be seen before anything is opened: for the check of a
    /// configuration.
    pub fn check(&self) -> Result<(), LinkError> {
        if self.endpoints.is_empty() {
            return Err(LinkError::NoEndpoint);
        }
        for endpoint in &self.endpoints {
            if endpoint.needs_ipv6() && !self.options.ipv6 {
                return Err(LinkError::Ipv6Off(endpoint.clone()));
            }
            if self.security.is_curve() && !endpoint.carries_curve() {
                return Err(LinkError::NoCurveOver(endpoint.clone()));
            }
            let publishes = matches!(self.socket_type, SocketType::Pub | SocketType::Sub);
            if !endpoint.has_connections() && !publishes {
                let socket_type = self.socket_type.name();
                return Err(LinkError::Multicast { endpoint: endpoint.clone(), socket_type });
            }
        }
        match self.socket_type {
            SocketType::Dish if self.topics.is_empty() => Err(LinkError::NoGroups),
            SocketType::Dish | SocketType::Radio => {
                self.topics.iter().try_for_each(|topic| check_group(topic))
            }
            _ => Ok(()),
        }
    }
}

/// libzmq takes more than this, but cuts it off without a word.
pub(crate) fn check_group(group: &str) -> Result<(), LinkError> {
    const GROUP_MAX: usize = 255; // ZMQ_GROUP_MAX_LENGTH since libzmq 4.3.3
    if group.len() > GROUP_MAX || group.contains('\0') {
        return Err(LinkError::Group(group.escape_debug().take(GROUP_MAX).collect()));
    }
    Ok(())
}
