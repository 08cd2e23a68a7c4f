import { type Duplex, duplexPair } from "node:stream";
import { GcsBridgeServer, type GcsCapabilities, type GuestHandlers } from "@uvm-shim/gcs-bridge";
import { capabilities, FakeHost } from "@uvm-shim/gcs-bridge/testing";
import { LinuxGuest } from "../guest.ts";

export { settled } from "@uvm-shim/gcs-bridge/testing";

/** Settings of a minimal container. */
export const containerSettings = {
  SchemaVersion: { Major: 2, Minor: 1 },
  OciBundlePath: "/run/gcs/pods/p/c",
  OciSpecification: { ociVersion: "1.0.2" },
  ScratchDirPath: "/run/scratch",
};

/** Parameters of a process without stdio. */
export const withoutPipes = {
  EmulateConsole: false,
  CreateStdInPipe: false,
  CreateStdOutPipe: false,
  CreateStdErrPipe: false,
} as const;

/** A fake Linux guest behind the real protocol, and the host's ports that it dials. */
export class FakeGuest extends FakeHost {
  readonly hostStream: Duplex;
  readonly server: GcsBridgeServer;

  constructor(handlers: GuestHandlers = {}, changed: Partial<GcsCapabilities> = {}) {
    super();
    const [host, guest] = duplexPair();
    this.hostStream = host;
    this.server = new GcsBridgeServer(guest, this.#recorded(handlers), {
      capabilities: { ...capabilities, ...changed },
    });
  }

  connect(signal?: AbortSignal): Promise<LinuxGuest> {
    return LinuxGuest.connect(this.hostStream, this.options, signal);
  }

  /** Every procedure is served: by the given handler, else by one that agrees. */
  #recorded(handlers: GuestHandlers): GuestHandlers {
    const agreeing: GuestHandlers = {
      create: async () => ({}),
      start: async () => ({}),
      shutdownGraceful: async () => ({}),
      shutdownForced: async () => ({}),
      executeProcess: async () => ({ ProcessId: 100 }),
      waitForProcess: () => new Promise(() => {}),
      signalProcess: async () => ({}),
      resizeConsole: async () => ({}),
      getProperties: async () => ({ Properties: "{}" }),
      modifySettings: async () => ({}),
      dumpStacks: async () => ({ GuestStacks: "" }),
      deleteContainerState: async () => ({}),
    };
    return this.recorded({ ...agreeing, ...handlers });
  }
}
