export { NetworkController, type NetworkControllerOptions, type NicView } from "./controller.ts";
export { type LinuxNetworkingOptions, linuxNetworking } from "./lcow.ts";
export { type NetworkOperation, type NetworkState, type NetworkStateKind, networkTable } from "./lifecycle.ts";
export { type NamedNetwork, namedNetworkOf, PodNetwork, type PodNetworkOptions } from "./pod-network.ts";
export type {
  GuestNetworking,
  LinuxNetworkGuest,
  NetworkQueries,
  Nic,
  NicHost,
  WindowsNetworkGuest,
} from "./types.ts";
export { type WindowsNetworkingOptions, windowsNetworking } from "./wcow.ts";
