/** The file that says which process has a state folder: two that take each other's pods for lost would end them. */
import { readFileSync, rmSync } from "node:fs";
import path from "node:path";
import { ShimError } from "../errors.ts";
import { writeFileAtomically } from "../program/state-file.ts";
import { isAlive, type ShimSystem } from "../system/system.ts";

const fileName = "owner";

/** Whose folder it is to be. */
export interface StateOwner {
  readonly folder: string;
  readonly identity: { readonly pid: number; readonly processStartTime: string };
  readonly socket: string;
}

/** Makes a folder that is there this process's own. Throws AlreadyExists while another process has it. */
export async function claimState(
  { folder, identity, socket }: StateOwner,
  system: Pick<ShimSystem, "processStartTime">,
): Promise<{ release(): void }> {
  const file = path.join(folder, fileName);
  const [pid = "", processStartTime = "", ...other] = contentOf(file).split(" ");
  const owner = { pid: Number(pid), processStartTime };
  if (pid !== "" && owner.pid !== identity.pid && (await isAlive(owner, system))) {
    throw new ShimError(
      "AlreadyExists",
      `the state folder ${folder} is that of the sandboxer at ${other.join(" ")}, process ${pid}: expected one of its own`,
    );
  }
  writeFileAtomically(file, `${identity.pid} ${identity.processStartTime} ${socket}`);
  return { release: () => rmSync(file, { force: true }) };
}

function contentOf(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return "";
    throw error;
  }
}
