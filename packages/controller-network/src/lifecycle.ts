import { defineTable, type StateData } from "@uvm-shim/lifecycle";

/** Invalid: set up or torn down in part. What was added is known; only teardown is allowed. */
export type NetworkStateKind = "NotConfigured" | "Configured" | "Invalid" | "TornDown";
/** The state of a pod's network; it has no data of its own. */
export type NetworkState = StateData<NetworkStateKind>;
/** What changes the state of a network. */
export type NetworkOperation = "setup" | "sync" | "teardown";

/** The life of a pod's network, which is never set up twice. */
export const networkTable = defineTable<NetworkStateKind, NetworkOperation>({
  subject: "network",
  initial: "NotConfigured",
  states: ["NotConfigured", "Configured", "Invalid", "TornDown"],
  transitions: [
    { kind: "operation", name: "setup", from: ["NotConfigured"], success: "Configured", failure: "Invalid" },
    { kind: "operation", name: "sync", from: ["Configured"], success: "Configured", failure: "unchanged" },
    {
      kind: "operation",
      name: "teardown",
      from: ["NotConfigured", "Configured", "Invalid"],
      success: "TornDown",
      failure: "Invalid",
    },
  ],
});
