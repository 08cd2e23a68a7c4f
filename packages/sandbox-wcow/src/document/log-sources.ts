/** Which event sources a Windows guest forwards to its host. */
import { decodeBase64, encodeBase64, fieldsOf, SandboxError, shownValue } from "@uvm-shim/sandbox-common";
import { keyOf } from "../annotations/annotations.ts";

/** A provider of event traces, by name, GUID or both. */
export interface LogProvider {
  readonly providerName?: string;
  /** Lower case, without braces. */
  readonly providerGuid?: string;
  readonly level?: string;
  readonly keywords?: string;
}

/** A source of events, with its providers. */
export interface LogSource {
  readonly type: string;
  readonly providers: readonly LogProvider[];
}

/** What a guest is to forward. */
export interface LogSourceOptions {
  /** Base64 of a JSON document of the same form as the result. */
  readonly wanted?: string;
  /** Whether the usual providers are forwarded beside those wanted. */
  readonly withDefaults: boolean;
  /** The guest's policy knows providers by name: a GUID is sent only where the name does not stand for it. */
  readonly isConfidential: boolean;
}

/** GUIDs of the usual providers by their names, in lower case. */
const defaultProviders: ReadonlyMap<string, string> = new Map([
  ["microsoft.windows.hyperv.compute", "80ce50de-d264-4581-950d-abadeee0d340"],
  ["microsoft-windows-guest-network-service", "0bacf1d2-fb51-549a-6119-04daa7180dc8"],
  ["microsoft.windows.filesystem.cimfs", "772ff917-30cf-50bd-d471-55a093ea8cf8"],
  ["microsoft.windows.filesystem.unionfs", "68d6ffd0-365a-579d-6d26-76b2a0af1ddc"],
  ["microsoft-windows-bitlocker-driver", "651df93b-5053-4d1e-94c5-f6e6d25908d0"],
  ["microsoft-windows-bitlocker-api", "5d674230-ca9f-11da-a94d-0800200c9a66"],
  ["microsoft.windows.security.keyguard", "37e53459-522d-5f7d-9a19-ecfd819075c2"],
  ["microsoft.windows.security.keyguard.attestation.verify", "268833e4-8305-5640-ecee-0f30f10668be"],
  ["microsoft.windows.containers.setup", "22267b1c-b979-5c81-9e24-0db386a62dd1"],
  ["microsoft.windows.containers.storage", "2551390d-5927-5c84-6f0a-027a7e78d38d"],
  ["microsoft.windows.containers.library", "67eb0417-9297-42ae-a1d9-98bfeb359059"],
  ["microsoft.windows.containers.dynamicimage", "8ce2286c-3705-4a2a-8e36-134eae9ca147"],
  ["microsoft.windows.logforwardservice.provider", "396a26ff-fb73-5465-0d17-dd4930896239"],
] as const);

/** Base64 of the document that a Windows guest takes. Throws SandboxError for wrong sources. */
export function logSources({ wanted = "", withDefaults, isConfidential }: LogSourceOptions): string {
  // By name alone, so that one that is wanted by name takes the place of the usual one.
  const defaults = [...defaultProviders.keys()].map((providerName) => ({ providerName, level: "Information" }));
  const merged = new Map<string, Map<string, LogProvider>>();
  const sources = [...(withDefaults ? [{ type: "ETW", providers: defaults }] : []), ...readSources(wanted)];
  for (const { type, providers } of sources) {
    const ofType = merged.get(type) ?? new Map<string, LogProvider>();
    merged.set(type, ofType);
    for (const provider of providers) ofType.set(identityOf(provider), provider);
  }
  const named = isConfidential ? byName : byGuid;
  const result = [...merged].map(([type, providers]) => ({ type, providers: [...providers.values()].map(named) }));
  return encodeBase64(new TextEncoder().encode(JSON.stringify({ LogConfig: { sources: result } })));
}

/** Providers with the same name and GUID, as they were written, are one. */
function identityOf({ providerName = "", providerGuid = "" }: LogProvider): string {
  return `${providerName}|${providerGuid}`;
}

function byGuid(provider: LogProvider): LogProvider {
  const providerGuid = guidOf(provider) ?? knownGuid(provider);
  return { ...provider, ...(providerGuid !== undefined && { providerGuid }) };
}

function byName(provider: LogProvider): LogProvider {
  const providerGuid = guidOf(provider);
  if (provider.providerName === undefined || providerGuid === undefined) return provider;
  const { providerName, providerGuid: written, ...rest } = provider;
  return providerGuid === knownGuid(provider) ? { providerName, ...rest } : { providerGuid, ...rest };
}

function knownGuid({ providerName }: LogProvider): string | undefined {
  return providerName === undefined ? undefined : defaultProviders.get(providerName.toLowerCase());
}

/** Of a name in an error. */
const longestName = 64;
const guidPattern = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

function guidOf({ providerName = "", providerGuid }: LogProvider): string | undefined {
  if (providerGuid === undefined) return undefined;
  const guid = providerGuid.trim().replace(/^\{/, "").replace(/\}$/, "").trim().toLowerCase();
  if (!guidPattern.test(guid)) {
    const name = JSON.stringify(providerName.slice(0, longestName));
    return refuse(providerGuid, `providerGuid of provider ${name}`, "a GUID");
  }
  return guid;
}

function readSources(wanted: string): readonly LogSource[] {
  if (wanted === "") return [];
  const document = read(wanted);
  const config = fieldsOf(document).LogConfig ?? {};
  if (!isObject(document) || !isObject(config)) return refuseWhole(wanted);
  return list("LogConfig.sources", fieldsOf(config).sources, (source, place) => {
    const { type, providers } = fieldsOf(source);
    return { type: text(`${place}.type`, type), providers: list(`${place}.providers`, providers, readProvider) };
  });
}

function read(wanted: string): unknown {
  const bytes = decodeBase64(wanted);
  if (bytes === undefined) return refuseWhole(wanted);
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    return refuseWhole(wanted);
  }
}

/** Empty texts count as absent. */
function readProvider(item: unknown, place: string): LogProvider {
  const names = ["providerName", "providerGuid", "level", "keywords"] as const;
  const texts = names.map((name) => [name, text(`${place}.${name}`, fieldsOf(item)[name])] as const);
  return Object.fromEntries(texts.filter(([, value]) => value !== ""));
}

function list<T>(place: string, value: unknown, readItem: (item: unknown, place: string) => T): readonly T[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) return refuse(value, place, "a list");
  return value.map((item: unknown, index) => {
    const at = `${place}[${index}]`;
    return isObject(item) ? readItem(item, at) : refuse(item, at, "an object");
  });
}

function text(place: string, value: unknown): string {
  if (value === undefined || value === null) return "";
  return typeof value === "string" ? value : refuse(value, place, "text");
}

function isObject(value: unknown): boolean {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function refuseWhole(wanted: string): never {
  const message = `got ${wanted.length} characters, expected base64 of a JSON object with LogConfig.sources`;
  throw new SandboxError("InvalidArgument", keyOf("logSources"), message);
}

function refuse(value: unknown, place: string, accepted: string): never {
  const message = `got ${shownValue(value)} as ${place}, expected ${accepted}`;
  throw new SandboxError("InvalidArgument", keyOf("logSources"), message);
}
