import { type HresultName, hresults } from "@uvm-shim/hcs-schema";
import type { HostNetworks } from "../../types.ts";
import { guidText } from "../../windows/native/structures.ts";
import type { FakeDll, FakeMachine } from "./fake-machine.ts";

type Kind = "Network" | "Endpoint" | "Namespace";

interface Handle {
  readonly kind: Kind;
  readonly id: string;
}

const notFound: { readonly [Name in Kind]: HresultName } = {
  Network: "HCN_E_NETWORK_NOT_FOUND",
  Endpoint: "HCN_E_ENDPOINT_NOT_FOUND",
  Namespace: "ERROR_NOT_FOUND",
};

/** computenetwork.dll on networks in memory, which decide whether calls succeed. */
export class ServedComputeNetwork {
  readonly handles = new Map<bigint, Handle>();
  readonly #machine: FakeMachine;
  readonly #networks: HostNetworks;

  constructor(machine: FakeMachine, networks: HostNetworks) {
    this.#machine = machine;
    this.#networks = networks;
  }

  leftovers(): readonly string[] {
    return [...this.handles].map(([handle, { kind }]) => `handle ${handle} of a ${kind}`);
  }

  get functions(): FakeDll {
    const networks = this.#networks;
    return {
      ...this.#functionsOf("Network", {
        create: (settings) => networks.createNetwork(settings as Parameters<HostNetworks["createNetwork"]>[0]),
        query: (id) => networks.queryNetwork(id),
        remove: (id) => networks.deleteNetwork(id),
      }),
      ...this.#functionsOf("Endpoint", {
        create: (settings, network) => networks.createEndpoint(network, settings),
        query: (id) => networks.queryEndpoint(id),
        remove: (id) => networks.deleteEndpoint(id),
      }),
      ...this.#functionsOf("Namespace", {
        create: (settings) => networks.createNamespace(settings),
        query: (id) => networks.queryNamespace(id),
        remove: (id) => networks.deleteNamespace(id),
      }),
      HcnModifyNamespace: (handle: bigint, request: string, record: Buffer) =>
        this.#answered("Endpoint", record, async () => {
          const { RequestType, Settings } = JSON.parse(request);
          const { id } = this.#open(handle);
          if (RequestType === "Add") await networks.addNamespaceEndpoint(id, Settings.EndpointId);
          else await networks.removeNamespaceEndpoint(id, Settings.EndpointId);
        }),
    };
  }

  #functionsOf(
    kind: Kind,
    does: {
      readonly create: (settings: object, network: string) => Promise<{ readonly ID: string }>;
      readonly query: (id: string) => Promise<object>;
      readonly remove: (id: string) => Promise<void>;
    },
  ): FakeDll {
    const create = (network: bigint | undefined, id: Buffer, settings: string, output: Buffer, record: Buffer) =>
      this.#answered(kind, record, async () => {
        const on = network === undefined ? "" : this.#open(network).id;
        const made = await does.create({ ...JSON.parse(settings), ID: guidText(id) }, on);
        this.#give(output, { kind, id: made.ID });
      });
    return {
      [`HcnCreate${kind}`]:
        kind === "Endpoint"
          ? create
          : (id: Buffer, settings: string, output: Buffer, record: Buffer) =>
              create(undefined, id, settings, output, record),
      [`HcnOpen${kind}`]: (guid: Buffer, output: Buffer, record: Buffer) =>
        this.#answered(kind, record, async () => {
          const id = guidText(guid);
          await does.query(id);
          this.#give(output, { kind, id });
        }),
      [`HcnQuery${kind}Properties`]: (handle: bigint, _query: string, output: Buffer, record: Buffer) =>
        this.#answered(kind, record, async () => {
          const document = JSON.stringify(await does.query(this.#open(handle).id));
          output.writeBigUInt64LE(this.#machine.giveText("computenetwork", document));
        }),
      [`HcnDelete${kind}`]: (guid: Buffer, record: Buffer) =>
        this.#answered(kind, record, () => does.remove(guidText(guid))),
      [`HcnClose${kind}`]: (handle: bigint) => {
        if (!this.handles.delete(handle)) this.#machine.wrongs.push(`${kind} ${handle} is not open`);
        return 0;
      },
    };
  }

  #open(handle: bigint): Handle {
    const found = this.handles.get(handle);
    if (found === undefined) throw new Error(`${handle} is not a handle of a network object`);
    return found;
  }

  #give(output: Buffer, handle: Handle): void {
    const address = this.#machine.newAddress();
    this.handles.set(address, handle);
    output.writeBigUInt64LE(address);
  }

  async #answered(kind: Kind, record: Buffer, work: () => Promise<void>): Promise<number> {
    try {
      await work();
      return 0;
    } catch (error) {
      const name = refusalOf(kind, (error as { readonly code?: unknown }).code);
      if (name === undefined) throw error;
      const document = JSON.stringify({ Success: false, Error: String(error), ErrorCode: hresults[name] });
      record.writeBigUInt64LE(this.#machine.giveText("computenetwork", document));
      return hresults[name] | 0;
    }
  }
}

/** HRESULT names of the service for errors of the networks in memory. */
function refusalOf(kind: Kind, code: unknown): HresultName | undefined {
  switch (code) {
    case "NotFound":
      return notFound[kind];
    case "AlreadyExists":
      return kind === "Network" ? "HCN_E_NETWORK_ALREADY_EXISTS" : "ERROR_ALREADY_EXISTS";
    case "InvalidArgument":
      return "E_INVALIDARG";
    case "FailedPrecondition":
      return kind === "Network" ? "HCN_E_ENTITY_HAS_REFERENCES" : "HCN_E_ENDPOINT_NAMESPACE_ALREADY_EXISTS";
    default:
      return undefined;
  }
}
