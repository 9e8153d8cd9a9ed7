//! One request that needs more than an answer: it is spared, or hyper answers it.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use hyper::Method;

use super::{
    front::{Front, Then},
    head::{RequestHead, without_h2c},
    one::answer_one,
    relay::{After, Closing, relay},
};
use crate::{
    activity::Track,
    answer::Answerer,
    decide::Verdict,
    injected::Shape,
    stats::add_one,
    stream::Buffered,
    upstream::{abandon, connect},
};

/// Applications close connections that are idle for longer than this; in the first moments only those that said so.
const SURELY_OPEN: Duration = Duration::from_secs(1);

impl Front {
    pub(super) async fn serve(&mut self, head: RequestHead) -> Then {
        match head.verdict {
            Verdict::Spare => {
                self.context.stats.count_request(head.version);
                add_one(&self.context.stats.here().spared);
                self.spare(&head).await
            }
            Verdict::Fault(_) if !head.has_uri => self.fault_without_uri(&head),
            verdict @ (Verdict::Fault(_) | Verdict::Probe) => self.fault(&head, verdict).await,
        }
    }

    async fn fault(&mut self, head: &RequestHead, verdict: Verdict) -> Then {
        let (answerer, track) = self.answerer.get_or_insert_with(|| {
            let track = Track::new(&self.seat);
            (Arc::new(Answerer::new(&self.context, self.origin, &track, None)), track)
        });
        let answerer = Arc::new(answerer.with_verdict(verdict));
        if answer_one(&mut self.client, head, &answerer, track, &self.context).await {
            Then::GoesOn
        } else {
            Then::Closes
        }
    }

    /// hyper would refuse the target with an answer of its own.
    fn fault_without_uri(&mut self, head: &RequestHead) -> Then {
        self.context.stats.count_request(head.version);
        add_one(&self.context.stats.here().faulted);
        let mut out = Vec::new();
        let is_head = head.method == Method::HEAD;
        self.context.injected.write(Shape { is_head, ..Shape::UNREAD }, &mut out);
        self.unsent = out.into();
        Then::Closes
    }

    async fn spare(&mut self, head: &RequestHead) -> Then {
        let mut raw = self.client.buf.split_to(head.len).freeze();
        if head.offers_h2c && !self.context.life.left() {
            // What follows the change could not be faulted.
            add_one(&self.context.stats.here().h2c_refused);
            raw = without_h2c(&raw).into();
        }
        // What can't be repeated is not sent over a connection that may be closing at this moment.
        let is_sure = head.can_be_repeated() || self.patience.silence() < SURELY_OPEN;
        let kept = self.application.take().filter(|kept| is_sure && kept.is_quiet());
        let was_kept = kept.is_some();
        let mut application = match kept {
            Some(kept) => kept,
            None => match connect(&self.context, self.origin).await {
                Ok(fresh) => fresh,
                Err(_counted) => return Then::Drops,
            },
        };
        let mut after = self.relay(&mut application, head, &raw).await;
        // The application may have closed the kept connection at the very moment; a client of its own would see that
        // too, but would not know why its fresh connection was an old one.
        if was_kept && after.is_err() && head.can_be_repeated() {
            match connect(&self.context, self.origin).await {
                Ok(fresh) => application = fresh,
                Err(_counted) => return Then::Drops,
            }
            after = self.relay(&mut application, head, &raw).await;
        }
        match after {
            Ok(After::Next) => {
                self.application = Some(application);
                Then::GoesOn
            }
            Ok(After::Tunnel) => {
                self.application = Some(application);
                Then::Passes
            }
            Ok(After::Close) => {
                abandon(application);
                if head.is_last() { Then::Ends } else { Then::Closes }
            }
            Ok(After::BrokeOff) => {
                add_one(&self.context.stats.here().upstream_errors);
                Then::Closes
            }
            Err(error) => {
                add_one(&self.context.stats.here().upstream_errors);
                log::debug!("the application did not answer at {}: {error}", self.origin);
                Then::Closes
            }
        }
    }

    async fn relay(
        &mut self,
        application: &mut Buffered,
        head: &RequestHead,
        raw: &Bytes,
    ) -> io::Result<After> {
        let closing = if self.context.life.left() { self.farewell } else { Closing::No };
        relay(&mut self.client, application, head, raw.clone(), closing).await
    }
}
