/**
 * A snapshotter of Windows layers for a containerd on Linux, which has none of its own: it unpacks an image's layers into
 * folders of the machine, and gives containers the mount that the windows snapshotter of a containerd for Windows gives
 * them. Served as a proxy plugin, on a socket.
 */
import { lstatSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import {
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceError,
  type sendUnaryData,
  status,
  type UntypedHandleCall,
} from "@grpc/grpc-js";
import { messageOf } from "@uvm-shim/lifecycle";
import { containerd } from "../../generated/messages.js";

const { Snapshots, Kind } = containerd.services.snapshots.v1;
/** What containerd names the snapshots with into which it unpacks a layer. Source: its windows snapshotter. */
const UNPACKING = "extract-";
const BLOCK = 512;

type Methods = typeof Snapshots.methods;
type RequestOf<Name extends keyof Methods> = ReturnType<Methods[Name]["request"]["decode"]>;
type AnswerOf<Name extends keyof Methods> = Parameters<Methods[Name]["response"]["encode"]>[0];
type Handlers = { readonly [Name in keyof Methods]: (request: RequestOf<Name>) => AnswerOf<Name> };
type Labels = { readonly [key: string]: string };

interface Snapshot {
  readonly folder: string;
  /** The name of a committed snapshot, or "". */
  readonly parent: string;
  readonly kind: (typeof Kind)["VIEW" | "ACTIVE" | "COMMITTED"];
  readonly labels: Labels;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

export interface SnapshotterOptions {
  readonly socket: string;
  /** For the folders of the snapshots. */
  readonly directory: string;
  /**
   * The layer below all images. It is shared by its files' links, which no archive carries whole; so the images of the
   * suite leave it out, and each of their containers has it as its lowest layer.
   */
  readonly baseLayer: string;
}

export class WindowsSnapshotter implements Disposable {
  readonly #options: SnapshotterOptions;
  readonly #server = new Server();
  readonly #snapshots = new Map<string, Snapshot>();
  #count = 0;

  private constructor(options: SnapshotterOptions) {
    this.#options = options;
    mkdirSync(options.directory, { recursive: true });
    register(this.#server, this.#handlers());
  }

  static async serve(options: SnapshotterOptions): Promise<WindowsSnapshotter> {
    const snapshotter = new WindowsSnapshotter(options);
    const credentials = ServerCredentials.createInsecure();
    await new Promise<void>((resolve, reject) => {
      const done = (error: Error | null): void => (error === null ? resolve() : reject(error));
      snapshotter.#server.bindAsync(`unix:${options.socket}`, credentials, done);
    });
    return snapshotter;
  }

  /** The snapshots that are there, by the names that containerd has for them. */
  get names(): readonly string[] {
    return [...this.#snapshots.keys()];
  }

  [Symbol.dispose](): void {
    this.#server.forceShutdown();
    rmSync(this.#options.directory, { recursive: true, force: true });
  }

  #handlers(): Handlers {
    return {
      Prepare: ({ key, parent, labels }) => this.#make(Kind.ACTIVE, key, parent, labels),
      View: ({ key, parent, labels }) => this.#make(Kind.VIEW, key, parent, labels),
      Mounts: ({ key }) => ({ mounts: [this.#mount(key)] }),
      Commit: ({ key, name, labels }) => this.#commit(key, name, labels),
      Remove: ({ key }) => this.#remove(key),
      Stat: ({ key }) => ({ info: infoOf(key, this.#get(key)) }),
      Update: ({ info, updateMask }) => this.#update(info?.name ?? "", info?.labels ?? {}, updateMask?.paths ?? []),
      List: ({ filters }) => {
        if (filters.length > 0)
          throw new Refusal(status.UNIMPLEMENTED, `list snapshots: filters ${filters.join(", ")}`);
        return { info: [...this.#snapshots].map(([name, snapshot]) => infoOf(name, snapshot)) };
      },
      Usage: ({ key }) => usageOf(this.#get(key).folder),
      Cleanup: () => ({}),
    };
  }

  #get(key: string): Snapshot {
    const snapshot = this.#snapshots.get(key);
    if (snapshot === undefined) throw new Refusal(status.NOT_FOUND, `snapshot ${key}: not found`);
    return snapshot;
  }

  #make(kind: Snapshot["kind"], key: string, parent: string, labels: Labels): AnswerOf<"Prepare"> {
    if (this.#snapshots.has(key)) throw new Refusal(status.ALREADY_EXISTS, `snapshot ${key}: already exists`);
    if (parent !== "" && this.#get(parent).kind !== Kind.COMMITTED) {
      throw new Refusal(status.INVALID_ARGUMENT, `snapshot ${key}: its parent ${parent} is not committed`);
    }
    const folder = join(this.#options.directory, `${++this.#count}`);
    mkdirSync(folder);
    const now = new Date();
    this.#snapshots.set(key, { folder, parent, kind, labels, createdAt: now, updatedAt: now });
    return { mounts: [this.#mount(key)] };
  }

  #mount(key: string): containerd.services.snapshots.v1.Mount.Input {
    const { folder, kind, parent } = this.#get(key);
    if (kind === Kind.COMMITTED) throw new Refusal(status.FAILED_PRECONDITION, `snapshot ${key}: is committed`);
    const access = kind === Kind.VIEW ? "ro" : "rw";
    // The differ of a containerd on Linux writes into a folder; that of Windows takes a windows-layer here too.
    if (key.includes(UNPACKING)) return { type: "bind", source: folder, options: ["rbind", access] };
    const layers = `parentLayerPaths=${JSON.stringify(this.#layers(parent))}`;
    return { type: "windows-layer", source: folder, options: [access, layers] };
  }

  /** The folders from a snapshot to the base layer. */
  #layers(name: string): readonly string[] {
    if (name === "") return [this.#options.baseLayer];
    const { folder, parent } = this.#get(name);
    return [folder, ...this.#layers(parent)];
  }

  #commit(key: string, name: string, labels: Labels): AnswerOf<"Commit"> {
    const snapshot = this.#get(key);
    if (snapshot.kind !== Kind.ACTIVE) throw new Refusal(status.FAILED_PRECONDITION, `snapshot ${key}: is not active`);
    if (this.#snapshots.has(name)) throw new Refusal(status.ALREADY_EXISTS, `snapshot ${name}: already exists`);
    this.#snapshots.delete(key);
    this.#snapshots.set(name, { ...snapshot, kind: Kind.COMMITTED, labels, updatedAt: new Date() });
    return {};
  }

  #remove(key: string): AnswerOf<"Remove"> {
    const { folder } = this.#get(key);
    const child = [...this.#snapshots].find(([, { parent }]) => parent === key);
    if (child !== undefined)
      throw new Refusal(status.FAILED_PRECONDITION, `snapshot ${key}: is the parent of ${child[0]}`);
    rmSync(folder, { recursive: true });
    this.#snapshots.delete(key);
    return {};
  }

  #update(key: string, labels: Labels, paths: readonly string[]): AnswerOf<"Update"> {
    const snapshot = this.#get(key);
    const replaced = paths.length === 0 || paths.includes("labels") ? labels : { ...snapshot.labels };
    const named = paths
      .filter((path) => path.startsWith("labels."))
      .map((path) => path.slice("labels.".length))
      .map((label) => [label, labels[label] ?? ""] as const);
    const updated = { ...snapshot, labels: { ...replaced, ...Object.fromEntries(named) }, updatedAt: new Date() };
    this.#snapshots.set(key, updated);
    return { info: infoOf(key, updated) };
  }
}

function infoOf(name: string, snapshot: Snapshot): containerd.services.snapshots.v1.Info.Input {
  const { parent, kind, labels, createdAt, updatedAt } = snapshot;
  return { name, parent, kind, labels, createdAt: timestampOf(createdAt), updatedAt: timestampOf(updatedAt) };
}

function timestampOf(time: Date): containerd.services.snapshots.v1.Timestamp.Input {
  const milliseconds = time.getTime();
  return { seconds: Math.floor(milliseconds / 1000), nanos: (milliseconds % 1000) * 1_000_000 };
}

/** What a folder takes up on the disk, with all that is in it. */
function usageOf(folder: string): { readonly size: number; readonly inodes: number } {
  const paths = [
    folder,
    ...readdirSync(folder, { recursive: true, encoding: "utf8" }).map((path) => join(folder, path)),
  ];
  const size = paths.reduce((sum, path) => sum + lstatSync(path).blocks * BLOCK, 0);
  return { size, inodes: paths.length };
}

class Refusal extends Error {
  readonly code: status;

  constructor(code: status, message: string) {
    super(message);
    this.code = code;
  }
}

/** What is no refusal is a fault of this module's, which containerd is told too. */
function asServiceError(error: unknown): Partial<ServiceError> {
  const details = messageOf(error);
  return { code: error instanceof Refusal ? error.code : status.INTERNAL, details, message: details };
}

/** The only method that answers with a stream gives all in one message of it. */
function register(server: Server, handlers: Handlers): void {
  for (const [name, { kind, request, response }] of Object.entries(Snapshots.methods)) {
    const answer = handlers[name as keyof Handlers] as (request: unknown) => unknown;
    const toBytes = response.encode as (message: unknown) => { finish(): Uint8Array };
    const serialize = (message: unknown): Buffer => Buffer.from(toBytes(message).finish());
    const handler: UntypedHandleCall =
      kind === "serverStream"
        ? (call: ServerWritableStream<unknown, unknown>) => {
            try {
              call.write(answer(call.request));
              call.end();
            } catch (error) {
              call.emit("error", asServiceError(error));
            }
          }
        : (call: ServerUnaryCall<unknown, unknown>, callback: sendUnaryData<unknown>) => {
            try {
              callback(null, answer(call.request));
            } catch (error) {
              callback(asServiceError(error));
            }
          };
    server.register(`/${Snapshots.name}/${name}`, handler, serialize, (bytes) => request.decode(bytes), kind);
  }
}
