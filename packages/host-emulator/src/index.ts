export { EmulatedHost, type EmulatedHostOptions } from "./emulated-host.ts";
export type { DiskSlot, GuestEnd, GuestKind, GuestMachine, GuestMachineSpecification } from "./guest-machine.ts";
export { HcsFailure } from "./hcs-failure.ts";
export { ProcessGuestKind, type ProcessGuestOptions } from "./process-guest/process-guest-kind.ts";
export { runEmulator } from "./service/run-emulator.ts";
export { HostServer, type HostServerOptions } from "./service/server.ts";
