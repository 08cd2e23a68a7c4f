export { architecturesRunBy, elfMachine } from "./architectures.ts";
export { enterNewCgroupNamespace } from "./cgroup-namespaces.ts";
export {
  type ArrivedBytes,
  DescriptorListener,
  DescriptorSocket,
  type PeerUser,
} from "./descriptor-sockets.ts";
export { type DescriptorWatch, watchReadable } from "./descriptor-watch.ts";
export {
  connectUnixSocket,
  type DescriptorReceiver,
  type FileLock,
  letBlock,
  listenForDescriptor,
  lockFile,
  pipe,
  pipes,
} from "./descriptors.ts";
export { attachLoop, type LoopDevice, type LoopRequest, makeBlockNode, makeCharNode } from "./devices.ts";
export { LinuxCallError } from "./error.ts";
export { becomesEventCounter, createEventCounter, signalEvent, takeEvents } from "./event-counters.ts";
export { DeviceGuard, type GuardedDevice } from "./guards/device-guard.ts";
export { attachSysctlGuard, loadSysctlGuard } from "./guards/sysctl-guard.ts";
export { type DeniedCall, denyCalls } from "./guards/system-call-filter.ts";
export { bringLoopbackUp, renameInterface } from "./interfaces.ts";
export { createMappedDevice, type MappedTarget, mapperControl, removeMappedDevice } from "./mapped-devices.ts";
export {
  MNT_DETACH,
  mount,
  mountFlags,
  moveMount,
  openTree,
  pivotRoot,
  setMountReadOnly,
  umount,
  withMountNamespace,
} from "./mounts.ts";
export { createNetworkNamespace, type NetworkNamespace, openNetworkNamespace } from "./network-namespaces.ts";
export { O_PATH, openFolderOfMount, openInRoot } from "./open-in-root.ts";
export { becomeSubreaper, type ProcessExit, reapAny, setHostName, waitProcess } from "./processes.ts";
export { sealedCopy, sealedFile } from "./sealed-files.ts";
export { createSharedMemory, type MappedMemory, mapSharedMemory } from "./shared-memory.ts";
export { unblockSignal } from "./signals.ts";
export { unixSocketPair } from "./socket-pairs.ts";
export { type FillWatcher, PipeFiller, SplicedOutput, type SpliceEnd } from "./splice.ts";
export { connectVsock, socketOf, vsockHost } from "./stream-sockets.ts";
export { openTap } from "./taps.ts";
export { openTerminal, type Terminal, TerminalStream } from "./terminal.ts";
export { listenAtUnixSocket } from "./unix-addresses.ts";
