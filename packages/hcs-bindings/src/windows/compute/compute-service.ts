import { type HostServiceProperties, serviceAnswer } from "@uvm-shim/hcs-schema";
import type { HcsType } from "@uvm-shim/hcs-schema/tables";
import { outputPointer } from "../native/output-parameters.ts";
import { callError, failed, readAnswer, type Subject, unlessAborted } from "./call-results.ts";
import type { ComputeCore } from "./compute-core.ts";
import type { Operations } from "./operations.ts";

/** Settings of the compute service, and files for VMs. */
export interface ComputeService {
  properties(query: HcsType<"Service_PropertyQuery">, signal?: AbortSignal): Promise<HostServiceProperties>;
  modify(request: HcsType<"ModificationRequest">, signal?: AbortSignal): Promise<void>;
  /** Lets the VM open a file of the caller. */
  grantVmAccess(vmId: string, path: string, signal?: AbortSignal): Promise<void>;
  revokeVmAccess(vmId: string, path: string, signal?: AbortSignal): Promise<void>;
  /** Lets every VM of the machine open a file. */
  grantVmGroupAccess(path: string, signal?: AbortSignal): Promise<void>;
  revokeVmGroupAccess(path: string, signal?: AbortSignal): Promise<void>;
  createEmptyGuestStateFile(path: string, signal?: AbortSignal): Promise<void>;
  createEmptyRuntimeStateFile(path: string, signal?: AbortSignal): Promise<void>;
}

/** The functions of computecore.dll about the service itself, and about files of VMs. */
export function computeService({ library, texts }: ComputeCore, operations: Operations): ComputeService {
  const answered = async (
    subject: Subject,
    call: (output: Buffer) => Promise<number>,
    signal?: AbortSignal,
  ): Promise<string | undefined> =>
    await unlessAborted(signal, subject, () =>
      operations.call(subject, async () => {
        const output = outputPointer();
        const hresult = await call(output);
        const document = texts.take(output);
        if (failed(hresult)) throw callError(subject, hresult, document);
        return document;
      }),
    );

  const done = async (subject: Subject, call: () => Promise<number>, signal?: AbortSignal): Promise<void> => {
    await answered(subject, call, signal);
  };

  return {
    async properties(query, signal) {
      const subject = { operation: "query compute service", id: (query.PropertyTypes ?? []).join(", ") };
      const document = JSON.stringify(query);
      const answer = await answered(
        subject,
        (output) => library.run("HcsGetServiceProperties", document, output),
        signal,
      );
      return readAnswer(subject, answer, serviceAnswer(query.PropertyTypes ?? []));
    },
    async modify(request, signal) {
      const subject = { operation: "modify compute service", id: request.PropertyType ?? "without a property type" };
      const document = JSON.stringify(request);
      await answered(subject, (output) => library.run("HcsModifyServiceSettings", document, output), signal);
    },
    grantVmAccess: (vmId, path, signal) =>
      done(
        { operation: `grant access to ${path} to compute system`, id: vmId },
        () => library.run("HcsGrantVmAccess", vmId, path),
        signal,
      ),
    revokeVmAccess: (vmId, path, signal) =>
      done(
        { operation: `revoke access to ${path} of compute system`, id: vmId },
        () => library.run("HcsRevokeVmAccess", vmId, path),
        signal,
      ),
    grantVmGroupAccess: (path, signal) =>
      done(
        { operation: "grant all VMs access to", id: path },
        () => library.run("HcsGrantVmGroupAccess", path),
        signal,
      ),
    revokeVmGroupAccess: (path, signal) =>
      done(
        { operation: "revoke all VMs' access to", id: path },
        () => library.run("HcsRevokeVmGroupAccess", path),
        signal,
      ),
    createEmptyGuestStateFile: (path, signal) =>
      done(
        { operation: "create guest state file", id: path },
        () => library.run("HcsCreateEmptyGuestStateFile", path),
        signal,
      ),
    createEmptyRuntimeStateFile: (path, signal) =>
      done(
        { operation: "create runtime state file", id: path },
        () => library.run("HcsCreateEmptyRuntimeStateFile", path),
        signal,
      ),
  };
}
