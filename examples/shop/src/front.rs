//! The shop behind sockets: one for customers, one for operators.

use std::net::SocketAddr;

use axum::Router;
use ees_projector::Running;
use ees_store::http::{Api, Server};
use tokio::signal::unix::{SignalKind, signal};

use crate::assembly::Shop;
use crate::{Failure, api};

/// Two bound sockets that accept no requests yet.
pub struct Front {
    customers: Server,
    operators: Server,
}

impl Front {
    /// Listens on two addresses. For port 0, the system chooses a port.
    ///
    /// # Errors
    /// When an address is in use, or does not belong to this machine.
    pub async fn listen(customers: &str, operators: &str) -> Result<Self, Failure> {
        let bind = async |address: &str| {
            let bound = Server::bind(address).await;
            bound.map_err(|error| Failure::from(format!("can't listen on {address}: {error}")))
        };
        Ok(Self { customers: bind(customers).await?, operators: bind(operators).await? })
    }

    /// The addresses for customers and for operators.
    ///
    /// # Errors
    /// When the system does not return an address.
    pub fn addresses(&self) -> Result<(SocketAddr, SocketAddr), Failure> {
        Ok((self.customers.local_addr()?, self.operators.local_addr()?))
    }

    /// Serves requests and runs the list and the reactors, until Ctrl-C or SIGTERM. Then finishes requests
    /// and running work.
    ///
    /// # Errors
    /// When the shop can't start.
    pub async fn serve(self, shop: &Shop) -> Result<(), Failure> {
        let running = shop.start()?;
        tokio::join!(
            self.customers.serve(api::app(shop.clone()), interrupted()),
            self.operators.serve(operators(shop, &running), interrupted()),
        );
        running.shut_down().await;
        Ok(())
    }
}

/// The routes for operators, which customers must not reach: the log, the projections and the reactors (`ees
/// projections --url ...`, `ees tail`).
fn operators(shop: &Shop, running: &Running) -> Router {
    let api = Api::new(shop.place.store.clone(), shop.place.log.clone());
    ees_projector::http::install(api, running.handle().clone()).router()
}

async fn interrupted() {
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut terminate) => terminate.recv().await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminated => {}
    }
}
