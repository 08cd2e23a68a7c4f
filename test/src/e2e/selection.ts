/** What is asked of a run of the suite. */
import { parseArgs } from "node:util";
import { type ContainerdBuild, findContainerds, WANTED } from "../debian/containerds.ts";
import { type GuestKind, guestKinds } from "../support/guest-kind.ts";
import { type PodForm, podForms } from "./containerd.ts";
import { reasonAgainst } from "./left-out.ts";
import { SHORT_CASES } from "./short.ts";
import { RUNTIMES, type Runtime } from "./suite.ts";

/** `short`: those that fit ten minutes of slow machines. `stale`: those alone that are left out, to see whether they still must be. */
const EXTENTS = ["all", "short", "stale"] as const;
export type Extent = (typeof EXTENTS)[number];

export interface Selection {
  readonly runtime: Runtime;
  readonly kind: GuestKind;
  readonly extent: Extent;
  readonly builds: readonly ContainerdBuild[];
  /** Leaves out all but the cases with pods of this form. */
  readonly form: PodForm | undefined;
  /** Whether a case of this name is to be run, or is to be said to be left out. */
  readonly takes: (name: string) => boolean;
  /** The same in the round of all cases in one VM, which has only cases that a short run has time for. */
  readonly takesInOneVm: (name: string) => boolean;
}

const options = {
  runtime: { type: "string", default: "lcow" },
  guest: { type: "string", default: "process" },
  containerd: { type: "string" },
  only: { type: "string", default: "" },
  form: { type: "string" },
  short: { type: "boolean", default: false },
  stale: { type: "boolean", default: false },
} as const;

function oneOf<T extends string>(option: string, values: readonly T[], asked: string): T {
  const found = values.find((value) => value === asked);
  if (found === undefined) throw new Error(`invalid --${option} ${asked}: expected ${values.join(", ")}`);
  return found;
}

/** The kind of guest that the command line asks for. */
export function askedKind(): GuestKind {
  return oneOf("guest", guestKinds, parseArgs({ options }).values.guest);
}

export async function select(log: (line: string) => void): Promise<Selection> {
  const { values } = parseArgs({ options });
  const runtime = RUNTIMES[oneOf("runtime", ["lcow", "runc"], values.runtime)];
  const kind = askedKind();
  if (kind !== "process" && runtime.key !== "lcow")
    throw new Error(`--runtime ${runtime.key} has no guests: expected lcow`);
  if (values.short && values.stale)
    throw new Error("--short and --stale ask for different cases: expected one of them");
  const extent = EXTENTS.find((one) => one !== "all" && values[one]) ?? "all";
  const form = values.form === undefined ? undefined : oneOf("form", podForms, values.form);
  const known = WANTED.map(({ version }) => version);
  // What a guest's kernel and devices do is not a containerd's matter, and each VM takes its time.
  const asked = values.containerd ?? (kind === "process" ? known.join(",") : (known.at(-1) ?? ""));
  const wanted = WANTED.filter(({ version }) => asked.split(",").some((one) => version.startsWith(one)));
  if (wanted.length === 0) throw new Error(`invalid --containerd ${asked}: expected one of ${known.join(", ")}`);
  const only = new RegExp(values.only);
  const takesInOneVm = (name: string): boolean =>
    only.test(name) && (extent !== "stale" || reasonAgainst(kind, name) !== undefined);
  const takes = (name: string): boolean => takesInOneVm(name) && (extent !== "short" || SHORT_CASES.includes(name));
  return { runtime, kind, extent, form, takes, takesInOneVm, builds: await findContainerds(wanted, log) };
}
