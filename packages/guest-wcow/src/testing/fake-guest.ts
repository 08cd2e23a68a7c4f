import { type Duplex, duplexPair } from "node:stream";
import {
  GcsBridgeServer,
  type GcsCapabilities,
  GuestFault,
  type GuestHandlers,
  uvmContainerId,
} from "@uvm-shim/gcs-bridge";
import { FakeHost } from "@uvm-shim/gcs-bridge/testing";
import {
  checkLogForwardSettings,
  checkWindowsGuestRequest,
  checkWindowsProcessParameters,
  checkWindowsUvmConfig,
  type TimeZoneInformation,
  utcTimeZone,
  vsockPortOf,
} from "@uvm-shim/hcs-schema";
import { WindowsGuest } from "../guest.ts";

/** Capabilities of a Windows guest that has all of them. */
export const windowsCapabilities: GcsCapabilities = {
  SendHostCreateMessage: true,
  SendHostStartMessage: true,
  HvSocketConfigOnStartup: true,
  SendLifecycleNotifications: true,
  ModifyServiceSettingsSupported: true,
  SupportedSchemaVersions: [{ Major: 2, Minor: 1 }],
  RuntimeOsType: "",
  GuestDefinedCapabilities: {
    NamespaceAddRequestSupported: true,
    SignalProcessSupported: true,
    DumpStacksSupported: true,
    DeleteContainerStateSupported: true,
    UpdateContainerSupported: true,
    LogForwardingSupported: true,
    HostProcessContainerSupported: true,
  },
};

/** Parameters of a process without stdio. */
export const withoutPipes = {
  CommandLine: "cmd.exe",
  EmulateConsole: false,
  CreateStdInPipe: false,
  CreateStdOutPipe: false,
  CreateStdErrPipe: false,
} as const;

/**
 * A fake Windows guest behind the real protocol. It refuses what a real one refuses: fields that it does not know, ports
 * in place of services, numbers in place of events, containers that are unknown or started before the VM.
 */
export class FakeWindowsGuest extends FakeHost {
  readonly hostStream: Duplex;
  readonly server: GcsBridgeServer;
  readonly #timeZone: TimeZoneInformation;
  readonly #containers = new Set<string>();

  constructor(
    handlers: GuestHandlers = {},
    changed: Partial<GcsCapabilities> = {},
    timeZone: TimeZoneInformation = utcTimeZone,
  ) {
    super();
    this.#timeZone = timeZone;
    const [host, guest] = duplexPair();
    this.hostStream = host;
    const capabilities = { ...windowsCapabilities, ...changed };
    this.server = new GcsBridgeServer(guest, this.recorded({ ...this.#strict(), ...handlers }), { capabilities });
  }

  connect(signal?: AbortSignal): Promise<WindowsGuest> {
    return WindowsGuest.connect(this.hostStream, { ...this.options, timeZone: this.#timeZone }, signal);
  }

  /** Dials the hvsocket service of one of a process's streams. */
  dialService(service: string | undefined): Duplex {
    return this.dial(service === undefined ? undefined : vsockPortOf(service));
  }

  #strict(): GuestHandlers {
    const known = (id: string): void => {
      if (id !== uvmContainerId && !this.#containers.has(id)) {
        throw new GuestFault("HCS_E_SYSTEM_NOT_FOUND", `container ${id} does not exist`);
      }
    };
    return {
      create: async ({ ContainerConfig }, { containerId }) => {
        const config: unknown = JSON.parse(ContainerConfig);
        if (containerId === uvmContainerId) checkWindowsUvmConfig(config);
        else if (this.#containers.has(containerId)) {
          throw new GuestFault("HCS_E_SYSTEM_ALREADY_EXISTS", `container ${containerId} exists already`);
        }
        this.#containers.add(containerId);
        return {};
      },
      start: async (_body, { containerId }) => {
        if (!this.#containers.has(containerId)) {
          throw new GuestFault("HCS_E_SYSTEM_NOT_FOUND", `${containerId} was not created`);
        }
        return {};
      },
      shutdownGraceful: async (_body, { containerId }) => {
        known(containerId);
        return {};
      },
      shutdownForced: async (_body, { containerId }) => {
        known(containerId);
        return {};
      },
      executeProcess: async ({ Settings }, { containerId }) => {
        known(containerId);
        checkWindowsProcessParameters(JSON.parse(Settings.ProcessParameters));
        if (Object.keys(Settings.VsockStdioRelaySettings ?? {}).length > 0) {
          throw new GuestFault("HCS_E_INVALID_JSON", "VsockStdioRelaySettings: unknown field");
        }
        return { ProcessId: 100 };
      },
      waitForProcess: () => new Promise(() => {}),
      signalProcess: async ({ Options }, { containerId }) => {
        known(containerId);
        if (typeof Options?.Signal === "number") {
          throw new GuestFault("HCS_E_INVALID_JSON", "Options.Signal: expected the name of an event");
        }
        return {};
      },
      resizeConsole: async (_body, { containerId }) => {
        known(containerId);
        return {};
      },
      getProperties: async (_body, { containerId }) => {
        known(containerId);
        return { Properties: "{}" };
      },
      modifySettings: async ({ Request }, { containerId }) => {
        known(containerId);
        if (containerId === uvmContainerId) checkWindowsGuestRequest(Request);
        return {};
      },
      dumpStacks: async () => ({ GuestStacks: "stacks" }),
      deleteContainerState: async (_body, { containerId }) => {
        known(containerId);
        this.#containers.delete(containerId);
        return {};
      },
      modifyServiceSettings: async ({ Settings }) => {
        checkLogForwardSettings(Settings);
        return {};
      },
    };
  }
}
