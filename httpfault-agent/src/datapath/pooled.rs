//! The TC classifier that resets existing connections: a TCX link from Linux 6.6 on, which vanishes with this process;
//! before, a netlink filter under a clsact qdisc, which does not, and is therefore written down before it is made.

use anyhow::{Context as _, bail};
use aya::{
    programs::{
        LinkOrder, SchedClassifier, TcAttachType, loaded_programs,
        tc::{
            self, NlOptions, SchedClassifierLink, SchedClassifierLinkId, TcAttachOptions, TcError, TcHandle,
        },
    },
    util::KernelVersion,
};
use httpfault_common::abi::program;
use serde::{Deserialize, Serialize};

use super::{bpf, object::Object};
use crate::{netns::Netns, qdisc};

/// First kernel with TCX links.
const TCX: KernelVersion = KernelVersion::new(6, 6, 0);
/// Handle of our filter within its priority.
const HANDLE: TcHandle = TcHandle::new(0, 1);

/// A netlink filter, as it must be known to whoever sweeps up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Filter {
    /// Inode of the namespace.
    pub(crate) netns: u64,
    pub(crate) interface: String,
    /// Priority under which nothing else was found.
    pub(crate) priority: u16,
    /// Whether the clsact qdisc was made for it and goes with it.
    pub(crate) made_qdisc: bool,
}

/// An attached classifier.
pub(super) struct Attached {
    link: SchedClassifierLinkId,
    /// Present for netlink filters.
    filter: Option<Filter>,
}

/// Whether this kernel has no TCX links, so that a netlink filter is needed.
pub(crate) fn resets_by_filter() -> bool {
    !KernelVersion::current().is_ok_and(|kernel| kernel >= TCX)
}

/// The loaded classifier as the type that aya attaches, which it makes only of what the kernel lists.
pub(super) fn program(object: &Object) -> anyhow::Result<SchedClassifier> {
    let id = bpf::program_id(object.program(program::RESET)?)?;
    let listed = loaded_programs().filter_map(Result::ok).find(|program| program.id() == id);
    let listed = listed.context("the kernel does not list the classifier")?;
    Ok(SchedClassifier::from_program_info(listed, program::RESET.into())?)
}

/// Attaches to every interface; what was attached before an error stays in `attached` for [`detach`].
pub(super) fn attach(
    program: &mut SchedClassifier,
    netns: &Netns,
    interfaces: &[String],
    register: &mut (dyn FnMut(&Filter) -> anyhow::Result<()> + Send),
    attached: &mut Vec<Attached>,
) -> anyhow::Result<()> {
    let by_filter = resets_by_filter();
    netns.run(|| {
        for interface in interfaces {
            let one = if by_filter {
                attach_filter(program, netns, interface, register)
            } else {
                attach_tcx(program, interface)
            };
            attached
                .push(one.with_context(|| format!("attaching httpfault_reset to interface {interface}"))?);
        }
        Ok(())
    })?
}

/// Takes away what [`attach`] made; every one is tried.
pub(super) fn detach(
    program: &mut SchedClassifier,
    netns: &Netns,
    attached: &mut Vec<Attached>,
) -> Vec<anyhow::Error> {
    if attached.is_empty() {
        return Vec::new();
    }
    let mut errors = Vec::new();
    let entered = netns.run(|| {
        for Attached { link, filter } in attached.drain(..) {
            let detached = program.detach(link).context("detaching httpfault_reset");
            errors.extend(detached.err());
            errors.extend(filter.and_then(|filter| remove_qdisc(&filter).err()));
        }
    });
    errors.extend(entered.err().map(anyhow::Error::from));
    errors
}

/// Removes a filter that another process made. One that is gone already is no error.
pub(crate) fn remove_filter(filter: &Filter) -> anyhow::Result<()> {
    let Some(netns) = Netns::by_inode(filter.netns) else { return Ok(()) };
    netns.run(|| {
        if !qdisc::has_interface(&filter.interface)? {
            return Ok(());
        }
        if qdisc::has_filter(&filter.interface, filter.priority)? {
            let link = SchedClassifierLink::attached(
                &filter.interface,
                TcAttachType::Ingress,
                filter.priority,
                HANDLE,
                None,
            )?;
            aya::programs::links::Link::detach(link).context("detaching httpfault_reset")?;
        }
        remove_qdisc(filter)
    })?
}

fn attach_tcx(program: &mut SchedClassifier, interface: &str) -> anyhow::Result<Attached> {
    let order = TcAttachOptions::TcxOrder(LinkOrder::default());
    let link = program.attach_with_options(interface, TcAttachType::Ingress, order)?;
    Ok(Attached { link, filter: None })
}

fn attach_filter(
    program: &mut SchedClassifier,
    netns: &Netns,
    interface: &str,
    register: &mut (dyn FnMut(&Filter) -> anyhow::Result<()> + Send),
) -> anyhow::Result<Attached> {
    let mut filter = Filter {
        netns: netns.inode(),
        interface: interface.to_owned(),
        priority: qdisc::free_priority(interface)?,
        made_qdisc: !qdisc::has_clsact(interface)?,
    };
    register(&filter)?;
    if filter.made_qdisc {
        match tc::qdisc_add_clsact(interface) {
            Ok(()) => {}
            Err(TcError::AlreadyAttached) => {
                // Someone else made it between the look and the deed: it is theirs.
                filter.made_qdisc = false;
                register(&filter)?;
            }
            Err(why) => bail!(
                "adding the clsact qdisc: {why}; before Linux 6.6 `reset` needs the kernel modules sch_ingress and cls_bpf: \
                 load them with modprobe, or use --existing-connections drain"
            ),
        }
    }
    let options = NlOptions { priority: filter.priority, handle: HANDLE, classid: None };
    let link =
        program.attach_with_options(interface, TcAttachType::Ingress, TcAttachOptions::Netlink(options))?;
    Ok(Attached { link, filter: Some(filter) })
}

/// The qdisc goes with the last filter, if it was made for us. Others may have put filters there since.
fn remove_qdisc(filter: &Filter) -> anyhow::Result<()> {
    if filter.made_qdisc && qdisc::is_unused(&filter.interface)? {
        qdisc::remove_clsact(&filter.interface)?;
    }
    Ok(())
}
