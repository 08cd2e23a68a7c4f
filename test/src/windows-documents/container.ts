import { planWindowsContainer, type WindowsPlanOptions } from "@uvm-shim/controller-container-wcow";
import { ControllerError, refusing, windowsPaths } from "@uvm-shim/lifecycle";
import type { WindowsSandbox } from "@uvm-shim/sandbox-wcow";
import { CaseVm } from "./acquired.ts";
import type { Answer } from "./answer.ts";
import { type HostFiles, hostFactsOf, optionsOf, withoutZeros } from "./facts.ts";
import { podSandboxOf, type SandboxCase, sandboxOf } from "./sandbox.ts";

/** One create request of a container. */
type RequestOfCase = Pick<SandboxCase, "id" | "options" | "spec" | "rootfs">;

interface CaseOfVm extends SandboxCase {
  readonly guestCapabilities?: { readonly HostProcessContainerSupported?: boolean } | null;
}

export interface ContainerCase extends CaseOfVm {
  readonly kind: "container";
  readonly container: RequestOfCase;
  readonly earlier?: readonly RequestOfCase[] | null;
}

export interface StandaloneCase extends CaseOfVm {
  readonly kind: "standalone";
}

/** The document of a container in a pod, after the containers that were there before it. */
export async function containerAnswer(asked: ContainerCase): Promise<Answer> {
  const { container } = asked;
  const earlier = asked.earlier ?? [];
  const pod = new CasePod(asked, podSandboxOf(asked));
  for (const request of earlier) await pod.container(request, "workload").catch(refusedOnly);
  // The controller of the pod, which is not asked here, knows its containers.
  if (earlier.some(({ id }) => id === container.id)) {
    throw new ControllerError("AlreadyExists", `the pod has a container ${container.id}`, {
      operation: "create container",
      id: container.id,
    });
  }
  return await pod.container(container, "workload");
}

/** A container that is refused leaves its pod as it was. */
function refusedOnly(error: unknown): void {
  if (!(error instanceof ControllerError)) throw error;
}

export async function standaloneAnswer(asked: StandaloneCase): Promise<Answer> {
  const sandbox = sandboxOf(asked);
  const answer = await new CasePod(asked, sandbox).container(asked, "standalone");
  return { ...answer, sandbox: withoutZeros(sandbox.document) };
}

class CasePod {
  readonly #asked: CaseOfVm;
  readonly #sandbox: WindowsSandbox;
  readonly #vm: CaseVm;

  constructor(asked: CaseOfVm, sandbox: WindowsSandbox) {
    this.#asked = asked;
    this.#sandbox = sandbox;
    this.#vm = new CaseVm(sandbox);
  }

  async container(request: RequestOfCase, role: WindowsPlanOptions["role"]): Promise<Answer> {
    const plan = await planWindowsContainer(
      { spec: request.spec, rootfs: (request.rootfs ?? []).map((mount) => ({ options: [], ...mount })) },
      this.#options(request, role),
      refusing("create container", request.id),
    );
    return { document: withoutZeroValues(plan.document(await this.#vm.acquire(plan))), containerId: request.id };
  }

  #options(request: RequestOfCase, role: WindowsPlanOptions["role"]): WindowsPlanOptions {
    const asked = this.#asked;
    const { settings } = this.#sandbox;
    const { guestCapabilities: capabilities } = asked;
    const { executableFolder, build, processors, pathGrammar } = hostFactsOf(asked);
    return {
      id: request.id,
      podId: asked.id,
      role,
      podAnnotations: { ...optionsOf(asked.options).defaultContainerAnnotations, ...asked.spec.annotations },
      runtimeOptions: optionsOf(request.options),
      vm: {
        processors: settings.processors,
        isConfidential: settings.confidential !== undefined,
        processDumpLocation: settings.processDumpLocation,
        supportsHostProcesses: capabilities == null || capabilities.HostProcessContainerSupported === true,
        noWritableFileShares: settings.noWritableFileShares,
      },
      ...{ processors, pathGrammar, ...(build !== undefined && { build }) },
      paths: windowsPaths,
      files: filesOf(asked),
      deviceUtilPath: `${executableFolder}\\device-util.exe`,
      warn: () => {},
    };
  }
}

function filesOf(asked: HostFiles): WindowsPlanOptions["files"] {
  const { hasFile, hasFolder } = hostFactsOf(asked);
  const contents = new Map(Object.entries(asked.contents ?? {}).map(([path, text]) => [windowsPaths.key(path), text]));
  return {
    kind: async (path) => (hasFile(path) ? "file" : hasFolder(path) ? "directory" : undefined),
    readText: async (path) => contents.get(windowsPaths.key(path)) ?? "",
  };
}

/** Upstream leaves zeros of registry values out. The rest of a document has none that could be left out. */
function withoutZeroValues(document: object): unknown {
  return Object.fromEntries(
    Object.entries(document).map(([name, member]) => {
      if (name === "RegistryChanges") return [name, withoutZeros(member)];
      const isPart = name === "Container" || name === "CWCOWHostedSystem";
      return [name, isPart ? withoutZeroValues(member as object) : member];
    }),
  );
}
