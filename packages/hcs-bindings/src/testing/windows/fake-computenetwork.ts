import { type HresultName, hresults } from "@uvm-shim/hcs-schema";
import { guidText } from "../../windows/native/structures.ts";
import type { FakeDll, FakeMachine } from "./fake-machine.ts";

type Kind = "Network" | "Endpoint" | "Namespace";

interface FakeObject {
  readonly kind: Kind;
  properties: { readonly [name: string]: unknown };
}

const notFound: { readonly [Name in Kind]: HresultName } = {
  Network: "HCN_E_NETWORK_NOT_FOUND",
  Endpoint: "HCN_E_ENDPOINT_NOT_FOUND",
  Namespace: "ERROR_NOT_FOUND",
};

/** computenetwork.dll: objects by id. Like the service, it returns ids in upper case. */
export class FakeComputeNetwork {
  readonly objects = new Map<string, FakeObject>();
  readonly handles = new Map<bigint, FakeObject>();
  readonly listeners = new Map<bigint, { readonly callback: bigint; readonly context: bigint }>();
  readonly requests: unknown[] = [];
  readonly #machine: FakeMachine;

  constructor(machine: FakeMachine) {
    this.#machine = machine;
  }

  leftovers(): readonly string[] {
    return [
      ...[...this.handles].map(([handle, { kind }]) => `handle ${handle} of a ${kind}`),
      ...[...this.listeners.keys()].map((handle) => `network callback ${handle}`),
    ];
  }

  notify(type: number): void {
    for (const { callback, context } of this.listeners.values()) {
      this.#machine.callBack(callback, type, context, 0, 0n);
    }
  }

  get functions(): FakeDll {
    return {
      ...this.#functionsOf("Network"),
      ...this.#functionsOf("Endpoint"),
      ...this.#functionsOf("Namespace"),
      HcnCreateEndpoint: (network: bigint, id: Buffer, settings: string, output: Buffer, record: Buffer) => {
        const on = this.handles.get(network);
        if (on === undefined) return this.#refuse("E_INVALIDARG", record);
        const rest = { HostComputeNetwork: on.properties.ID, HostComputeNamespace: "" };
        return this.#create("Endpoint", id, { ...JSON.parse(settings), ...rest }, output, record);
      },
      HcnRegisterServiceCallback: (callback: bigint, context: bigint, output: Buffer) => {
        const handle = this.#machine.newAddress();
        this.listeners.set(handle, { callback, context });
        output.writeBigUInt64LE(handle);
        return 0;
      },
      HcnUnregisterServiceCallback: (handle: bigint) => {
        if (!this.listeners.delete(handle)) this.#machine.wrongs.push(`network callback ${handle} is not registered`);
        return 0;
      },
    };
  }

  #functionsOf(kind: Kind): FakeDll {
    return {
      [`HcnEnumerate${kind}s`]: (_query: string, output: Buffer) => {
        const ids = [...this.objects].filter(([, object]) => object.kind === kind).map(([id]) => id.toUpperCase());
        return this.#answer(output, ids);
      },
      [`HcnCreate${kind}`]: (id: Buffer, settings: string, output: Buffer, record: Buffer) =>
        this.#create(kind, id, JSON.parse(settings), output, record),
      [`HcnOpen${kind}`]: (id: Buffer, output: Buffer, record: Buffer) => {
        const object = this.objects.get(guidText(id));
        return object?.kind === kind ? this.#open(object, output) : this.#refuse(notFound[kind], record);
      },
      [`HcnModify${kind}`]: (_handle: bigint, request: string) => {
        this.requests.push(JSON.parse(request));
        return 0;
      },
      [`HcnQuery${kind}Properties`]: (handle: bigint, _query: string, output: Buffer) =>
        this.#answer(output, this.handles.get(handle)?.properties),
      [`HcnDelete${kind}`]: (id: Buffer, record: Buffer) =>
        this.objects.delete(guidText(id)) ? 0 : this.#refuse(notFound[kind], record),
      [`HcnClose${kind}`]: (handle: bigint) => {
        if (!this.handles.delete(handle)) this.#machine.wrongs.push(`${kind} ${handle} is not open`);
        return 0;
      },
    };
  }

  #create(kind: Kind, id: Buffer, settings: object, output: Buffer, record: Buffer): number {
    const ID = guidText(id);
    if (this.objects.has(ID)) return this.#refuse("HCN_E_NETWORK_ALREADY_EXISTS", record);
    const object = { kind, properties: { ...settings, ID: ID.toUpperCase() } };
    this.objects.set(ID, object);
    return this.#open(object, output);
  }

  #open(object: FakeObject, output: Buffer): number {
    const handle = this.#machine.newAddress();
    this.handles.set(handle, object);
    output.writeBigUInt64LE(handle);
    return 0;
  }

  #answer(output: Buffer, value: unknown): number {
    output.writeBigUInt64LE(this.#machine.giveText("computenetwork", JSON.stringify(value)));
    return 0;
  }

  #refuse(name: HresultName, record: Buffer): number {
    const document = JSON.stringify({ Success: false, Error: `${name}. `, ErrorCode: hresults[name] });
    record.writeBigUInt64LE(this.#machine.giveText("computenetwork", document));
    return hresults[name] | 0;
  }
}
