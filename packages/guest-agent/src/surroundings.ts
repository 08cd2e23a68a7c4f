/** What the guest needs of its machine. */
import type { ContainerNotification } from "@uvm-shim/gcs-bridge";
import type { Children, GuestLog } from "@uvm-shim/guest-agent-common";
import type { GuestFacts } from "./boot/facts.ts";
import type { OciRuntime } from "./container/runtime.ts";
import type { NicFinder } from "./network/namespaces.ts";
import type { AbsentPart } from "./pods/absent-parts.ts";
import type { DialPort } from "./process/stdio-relay.ts";
import type { GuestDevices } from "./storage/devices.ts";
import type { AttachedDisks, ShareMounter, VerifiedDisks } from "./storage/storage.ts";

/** How the guest reaches what the host attaches to its machine. */
export interface Attached {
  readonly disks: AttachedDisks;
  readonly verified?: VerifiedDisks;
  readonly mountShare: ShareMounter;
  readonly findNic: NicFinder;
}

/** Services of the machine. */
export interface GuestSurroundings {
  readonly children: Children;
  readonly runtime: OciRuntime;
  readonly facts: GuestFacts;
  readonly devices: GuestDevices;
  readonly attached: Attached;
  readonly log: GuestLog;
  readonly dial: DialPort;
  /** Dropped while there is no bridge. */
  notify(notification: ContainerNotification): void;
  /** Turns the power off after the current answer has been sent. */
  powerOff(): void;
  /** Ends the agent and the guest with it, as a crash would. */
  fail(cause: AbsentPart): never;
}
