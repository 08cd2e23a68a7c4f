/**
 * Calls of a scenario that ask something of a guest, by controller; the rest reaches the host. A guest may never answer,
 * so these have a bound of their own, but for the wait for an exit, which may last.
 */
const guestRequests: { readonly [controller: string]: RegExp } = {
  "controller-vm":
    /^(connectGuest|setSecurityPolicy|updateMemoryLimits|injectPolicyFragment|execute|signal|dumpStacks|mountDisk|mountShare|unmountDisk|ejectDisk|unmountShare) /,
  "controller-network": /^guest /,
  "controller-scsi": /^(mountDisk|mountScratchDisk|unmountDisk|ejectDisk) /,
  "controller-plan9": /^(mountShare|unmountShare) /,
  "controller-vpci": /^waitForDevice /,
  "controller-container":
    /^(combine|uncombine|createContainer|start|execute|update|metrics|pause|resume|terminate|deleteState|mountDisk|unmountDisk|ejectDisk|mountShare|unmountShare|waitForDevice) /,
  "controller-container-wcow":
    /^(combine|uncombine|run|mountBlockCims|unmountBlockCims|mountScratchDisk|createContainer|systemGuid|start|execute|processes|statistics|modify|shutdown|terminate|deleteState|mountDisk|unmountDisk) /,
  "controller-process": /^(execute|resize|signal) /,
  "the whole stack":
    /^(modifySettings|create|start c1|executeProcess|signalProcess|dumpStacks|getProperties|shutdownGraceful|shutdownForced|deleteContainerState) /,
};

export function isGuestRequest(controller: string, call: string): boolean {
  return guestRequests[controller]?.test(`${call} `) ?? false;
}
