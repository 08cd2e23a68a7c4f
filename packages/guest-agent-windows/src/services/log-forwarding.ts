/** The service that forwards the guest's log to the host, while it is asked to. */
import type { Socket } from "node:net";
import { GuestFault } from "@uvm-shim/gcs-bridge";
import type { LogFields, LogLevel } from "@uvm-shim/guest-agent-common";
import {
  answerObject,
  checkLogForwardSettings,
  filledText,
  list,
  optional,
  parseWithin,
  SchemaError,
  text,
  windowsHvsocketServices,
} from "@uvm-shim/hcs-schema";
import type { DialService } from "../process/stdio-relay.ts";

/** What a provider of Windows calls its levels; the agent's own warnings are all there is below errors. */
const levels = ["critical", "error", "warning", "information", "informational", "verbose"];
const levelOf: { readonly [Level in LogLevel]: number } = { error: 1, warning: 2, info: 3, debug: 5 };
/** The provider that tells of containers: the one of Windows' that this guest stands in for. */
const provider = "microsoft.windows.hyperv.compute";
const providerGuid = "80ce50de-d264-4581-950d-abadeee0d340";
const bounds = { length: 1024 * 1024, depth: 8, keys: 16_384, elements: 16_384 };

interface Provider {
  readonly providerName?: string;
  readonly providerGuid?: string;
  readonly level?: string;
}
interface Sources {
  readonly LogConfig: {
    readonly sources: readonly { readonly type: string; readonly providers?: readonly Provider[] }[];
  };
}

const checkSources = answerObject<Sources>({
  LogConfig: answerObject<Sources["LogConfig"]>({
    sources: list(
      answerObject<Sources["LogConfig"]["sources"][number]>({
        type: filledText,
        providers: optional(
          list(
            answerObject<Provider>({
              providerName: optional(text),
              providerGuid: optional(text),
              level: optional(text),
            }),
          ),
        ),
      }),
    ),
  }),
});

export class LogForwarding {
  readonly #dial: DialService;
  readonly #now: () => Date;
  /** The least important level that is forwarded; none while no source asks for any. */
  #most = -1;
  #socket: Socket | undefined;

  constructor(dial: DialService, now: () => Date = () => new Date()) {
    this.#dial = dial;
    this.#now = now;
  }

  async change(settings: unknown, signal: AbortSignal): Promise<void> {
    const { RPCType, Settings } = checkLogForwardSettings(settings, "Settings");
    switch (RPCType) {
      case "ModifyServiceSettings":
        this.#most = mostOf(readSources(Settings ?? ""));
        return;
      case "StartLogForwarding":
        await this.#start(signal);
        return;
      case "StopLogForwarding":
        this.#socket?.end();
        this.#socket = undefined;
        return;
      default:
        RPCType satisfies never;
    }
  }

  /** Forwards a line of the guest's log, as the event of its provider; drops it for a host that does not read. */
  write(level: LogLevel, message: string, fields: LogFields = {}): void {
    const socket = this.#socket;
    if (socket === undefined || levelOf[level] > this.#most || socket.writableNeedDrain) return;
    const time = this.#now().toISOString();
    const event = { Source: "ETW", ProviderName: provider, ProviderGuid: providerGuid };
    socket.write(`${JSON.stringify({ time, level, ...event, message, ...fields })}\n`);
  }

  async #start(signal: AbortSignal): Promise<void> {
    if (this.#socket !== undefined) return;
    let socket: Socket;
    try {
      socket = await this.#dial(windowsHvsocketServices.log, signal);
    } catch (cause) {
      throw new GuestFault("HCS_E_CONNECT_FAILED", "the host does not listen for logs", { cause });
    }
    const forget = (): void => {
      if (this.#socket === socket) this.#socket = undefined;
    };
    socket.on("error", forget).on("close", forget).resume();
    this.#socket = socket;
  }
}

function readSources(encoded: string): Sources {
  const path = "Settings.Settings";
  const decoded = Buffer.from(encoded, "base64");
  if (encoded === "" || decoded.toString("base64") !== encoded)
    throw new SchemaError(path, "expected sources in base64");
  return checkSources(parseWithin(decoded.toString("utf8"), bounds, path), path);
}

function mostOf({ LogConfig: { sources } }: Sources): number {
  const asked = sources
    .filter(({ type }) => type.toUpperCase() === "ETW")
    .flatMap(({ providers = [] }) => providers)
    .filter(
      ({ providerName = "", providerGuid: guid = "" }) =>
        providerName.toLowerCase() === provider || guid.toLowerCase() === providerGuid,
    )
    .map(({ level = "information" }) => levelNumber(level));
  return Math.max(-1, ...asked);
}

/** `information` and `informational` are one. */
function levelNumber(name: string): number {
  const number = levels.indexOf(name.toLowerCase());
  if (number === -1) throw new SchemaError("Settings.Settings", `unknown level ${JSON.stringify(name)}`);
  return number === 4 ? 3 : number;
}
