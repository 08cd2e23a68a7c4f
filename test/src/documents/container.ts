import type { RootfsMount } from "@uvm-shim/container-common";
import {
  type ContainerRuntimeOptions,
  planWindowsContainer,
  type WindowsPlanOptions,
  type WindowsVmFacts,
} from "@uvm-shim/controller-container-wcow";
import { ControllerError, refusing, windowsPaths } from "@uvm-shim/lifecycle";
import { CaseVm } from "./acquired.ts";
import type { Answer } from "./answer.ts";
import { CaseFiles, type FilesOfCase } from "./case-files.ts";

/** One create request. */
export interface RequestOfCase {
  readonly id: string;
  readonly bundle: string;
  /** By the names of the protobuf fields. */
  readonly options: Readonly<Record<string, unknown>> | null;
  readonly spec: { readonly annotations?: Readonly<Record<string, string>> };
  readonly rootfs: readonly RootfsMount[];
}

interface CaseOfPod extends RequestOfCase, FilesOfCase {
  readonly name: string;
  readonly guestCapabilities?: { readonly HostProcessContainerSupported?: boolean };
}

export interface ContainerCase extends CaseOfPod {
  readonly kind: "container";
  readonly container: RequestOfCase;
  readonly earlier?: readonly RequestOfCase[];
}

export interface StandaloneCase extends CaseOfPod {
  readonly kind: "standalone";
}

const hostProcessors = 4;
const hostBuild = 26_100;
const deviceUtilPath = "C:\\shim\\device-util.exe";

/** The documents of a pod's container, after those that were there before it. */
export async function containerAnswer(asked: ContainerCase): Promise<Answer> {
  const vm = new CaseVm(reservedSlots(asked));
  try {
    for (const earlier of asked.earlier ?? []) await documentOf(earlier, asked, "workload", vm);
    return await documentOf(asked.container, asked, "workload", vm);
  } catch (error) {
    if (error instanceof ControllerError) return { error: error.message };
    throw error;
  }
}

export async function standaloneAnswer(asked: StandaloneCase): Promise<Answer> {
  try {
    return await documentOf(asked, asked, "standalone", new CaseVm(reservedSlots(asked)));
  } catch (error) {
    if (error instanceof ControllerError) return { error: error.message };
    throw error;
  }
}

async function documentOf(
  request: RequestOfCase,
  pod: CaseOfPod,
  role: WindowsPlanOptions["role"],
  vm: CaseVm,
): Promise<Answer> {
  const options: WindowsPlanOptions = {
    id: request.id,
    podId: pod.id,
    role,
    podAnnotations: annotationsOf(pod),
    runtimeOptions: runtimeOptions(request.options),
    vm: vmFacts(pod),
    processors: hostProcessors,
    build: hostBuild,
    paths: windowsPaths,
    pathGrammar: "windows",
    files: new CaseFiles(pod),
    deviceUtilPath,
    warn: () => {},
  };
  const refuse = refusing("create container", request.id);
  const plan = await planWindowsContainer({ spec: request.spec, rootfs: request.rootfs }, options, refuse);
  return { document: plan.document(await vm.acquire(plan)), containerId: request.id };
}

function annotationsOf({ spec, options }: RequestOfCase): Readonly<Record<string, string>> {
  return { ...runtimeOptions(options).defaultContainerAnnotations, ...spec.annotations };
}

const policyKey = "io.microsoft.virtualmachine.wcow.securitypolicy";
const processorsKey = "io.microsoft.virtualmachine.computetopology.processor.count";

function vmFacts(pod: CaseOfPod): WindowsVmFacts {
  const annotations = annotationsOf(pod);
  const { vmProcessorCount } = runtimeOptions(pod.options);
  const wanted = Number(annotations[processorsKey] ?? vmProcessorCount ?? 2);
  return {
    processors: Math.min(wanted, hostProcessors),
    isConfidential: Boolean(annotations[policyKey]),
    processDumpLocation: annotations["io.microsoft.container.processdumplocation"],
    supportsHostProcesses:
      pod.guestCapabilities === undefined || pod.guestCapabilities.HostProcessContainerSupported === true,
    noWritableFileShares: annotations["io.microsoft.virtualmachine.fileshares.disablewritable"] === "true",
  };
}

/** The scratch disk of the VM, and its boot disks if it is confidential. */
function reservedSlots(pod: CaseOfPod) {
  const luns = vmFacts(pod).isConfidential ? [0, 1, 2] : [0];
  return luns.map((lun) => ({ controller: 0, lun }));
}

function runtimeOptions(given: RequestOfCase["options"]): ContainerRuntimeOptions {
  const {
    sandbox_platform: sandboxPlatform,
    sandbox_isolation: sandboxIsolation,
    boot_files_root_path: bootFilesRootPath,
    vm_processor_count: vmProcessorCount,
    vm_memory_size_in_mb: vmMemorySizeInMb,
    scale_cpu_limits_to_sandbox: scaleCpuLimitsToSandbox,
    default_container_annotations: defaultContainerAnnotations,
    ...others
  } = given ?? {};
  return {
    ...others,
    sandboxPlatform,
    sandboxIsolation,
    bootFilesRootPath,
    vmProcessorCount,
    vmMemorySizeInMb,
    scaleCpuLimitsToSandbox,
    defaultContainerAnnotations,
  } as ContainerRuntimeOptions;
}
