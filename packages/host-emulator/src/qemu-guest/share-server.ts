import type { Socket } from "node:net";
import { join } from "node:path";
import { Transform, type Writable } from "node:stream";
import { type Plan9Share, plan9ShareFlags } from "@uvm-shim/hcs-schema";
import { AttachPrelude } from "./attach-prelude.ts";
import type { ShareServer } from "./shares.ts";
import type { ProgramInstallation } from "./start/installation.ts";
import { type ShownFolder, startInOwnRoot } from "./start/own-root.ts";

/** What a server of shares is started with. */
export interface ShareServerStart {
  readonly installation: ProgramInstallation;
  /** The cgroup.procs files of the machine's cgroups. */
  readonly entrances: readonly string[];
  /** A folder that this makes and removes. */
  readonly mountPoint: string;
  readonly signal: AbortSignal;
}

/** Where the server has its shares, each in a folder of its number. */
const sharesFolder = "/shares";
const noShare = `${sharesFolder}/none`;
/** Requests come by its standard input; its answers go to the connection itself. */
const parameters = [
  ...["--foreground", "--no-auth", "--no-userdb", "--rfdno", "0", "--wfdno", "1"],
  ...["--export", sharesFolder, "--logdest", "stderr"],
];
/** What root of the guest may do with the files of a share. */
const rights = ["chown", "dac_override", "dac_read_search", "fowner", "fsetid", "setgid", "setuid"];
const identity = [`--bounding-set=-all,${rights.map((name) => `+${name}`).join()}`, "--inh-caps=-all"];

/**
 * Starts diod for one mount of a guest. It goes by names, and follows links that the guest has put in between, so its root
 * has nothing but itself and the shares.
 */
export async function startShareServer(
  { installation, entrances, mountPoint, signal }: ShareServerStart,
  connection: Socket,
  shares: readonly Plan9Share[],
): Promise<ShareServer> {
  const { streams, ended, kill } = await startInOwnRoot({
    installation,
    parameters,
    stdio: ["pipe", connection, "pipe"],
    identity,
    entrances,
    mountPoint,
    devices: [],
    withProc: false,
    shown: shares.map(shownFolder),
    signal,
  });
  const paths = new Map(shares.map(({ AccessName: name }, index) => [name, folderOf(index)]));
  const prelude = new AttachPrelude((name) => paths.get(name) ?? noShare);
  const requests = new Transform({
    transform: (chunk: Buffer, _, done) => {
      try {
        done(null, prelude.push(chunk).forward);
      } catch (error) {
        done(error as Error);
      }
    },
  });
  const input = streams[0] as Writable;
  input.on("error", () => {});
  requests.on("error", kill);
  connection.pipe(requests).pipe(input);
  void ended.then(() => connection.destroy());
  return { ended, kill };
}

function folderOf(index: number): string {
  return join(sharesFolder, String(index));
}

function shownFolder({ Path: path, Flags: flags, AllowedFiles: files }: Plan9Share, index: number): ShownFolder {
  return { path, target: folderOf(index), readOnly: (flags & plan9ShareFlags.readOnly) !== 0, files };
}
