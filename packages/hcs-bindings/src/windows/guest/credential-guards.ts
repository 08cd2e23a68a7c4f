import { type CredentialGuardInstance, checkCredentialGuards, SchemaError } from "@uvm-shim/hcs-schema";
import type { HcsType } from "@uvm-shim/hcs-schema/tables";
import { HostError } from "../../host-error.ts";
import type { Subject } from "../compute/call-results.ts";
import type { ComputeService } from "../compute/compute-service.ts";

const PropertyType = "ContainerCredentialGuard";

/** Container credential guards of the compute service; ids are those of containers. */
export class CredentialGuards {
  readonly #service: ComputeService;

  constructor(service: ComputeService) {
    this.#service = service;
  }

  /** Has removed the guard again when it fails. */
  async add(subject: Subject, Id: string, CredentialSpec: string): Promise<CredentialGuardInstance> {
    const OperationDetails: HcsType<"ContainerCredentialGuardAddInstanceRequest"> = {
      Id,
      CredentialSpec,
      Transport: "HvSocket",
    };
    await this.#modify(subject, "AddInstance", OperationDetails);
    try {
      const found = (await this.list(subject)).find((instance) => instance.Id === Id);
      if (found !== undefined) return found;
      throw new HostError("Internal", "the host does not list the credential guard that it has added", subject);
    } catch (error) {
      await this.remove(subject, Id).catch(() => {});
      throw error;
    }
  }

  async list(subject: Subject): Promise<readonly CredentialGuardInstance[]> {
    const { Properties = [] } = await this.#service.properties({ PropertyTypes: [PropertyType] });
    try {
      const { Instances = [] } = checkCredentialGuards(Properties[0] ?? {}, PropertyType);
      return Instances.map(withPlainServiceId);
    } catch (error) {
      if (!(error instanceof SchemaError)) throw error;
      // The value may be a credential specification.
      const problem = `${error.path}: ${error.unshown}`;
      throw new HostError("Internal", `the host sent an invalid list of credential guards: ${problem}`, subject);
    }
  }

  async remove(subject: Subject, Id: string): Promise<void> {
    const OperationDetails: HcsType<"ContainerCredentialGuardRemoveInstanceRequest"> = { Id };
    await this.#modify(subject, "RemoveInstance", OperationDetails);
  }

  async #modify(
    { operation, id }: Subject,
    Operation: HcsType<"ContainerCredentialGuardModifyOperation">,
    OperationDetails: unknown,
  ): Promise<void> {
    const Settings: HcsType<"ContainerCredentialGuardOperationRequest"> = { Operation, OperationDetails };
    try {
      await this.#service.modify({ PropertyType, Settings });
    } catch (error) {
      if (!(error instanceof HostError)) throw error;
      const { code, hresult, gone } = error;
      // What the host says more may repeat the specification.
      throw new HostError(code, "the host rejected the call", {
        operation,
        id,
        gone,
        ...(hresult !== undefined && { hresult }),
      });
    }
  }
}

/** GUIDs are case-insensitive. */
function withPlainServiceId(instance: CredentialGuardInstance): CredentialGuardInstance {
  const { HvSocketConfig: config } = instance;
  if (config === undefined) return instance;
  return { ...instance, HvSocketConfig: { ...config, ServiceId: config.ServiceId.toLowerCase() } };
}
