/** A WebGPU device as the low-bit engine uses it: what it can do, buffers, and kernels compiled once per source. */
import { defineErrors } from '../../errors.ts';

const errors = defineErrors('webgpu', {
  none: (f: { reason: string }) => [`WebGPU is not available here: ${f.reason}`, 'leave out the device, and the model runs on the CPU'],
  lost: (f: { reason: string }) => [`the WebGPU device was lost: ${f.reason}`, 'open the model again, or run it on the CPU'],
  failed: (f: { reason: string }) => [`the WebGPU device refused its work: ${f.reason}`, 'take a smaller model or a shorter context, or run it on the CPU'],
  buffer: (f: { what: string; bytes: number; limit: number }) => [`${f.what} takes ${f.bytes} bytes in one buffer, and this WebGPU device binds at most ${f.limit}`, 'take fewer bits or a shorter context, or run the model on the CPU'],
});

/** What shaders may use beyond the core of WGSL. */
export interface GpuAbilities {
  /** Arithmetic in half precision (`shader-f16`). */
  readonly half: boolean;
  /** Sums over the lanes that run together (`subgroups`). */
  readonly subgroups: boolean;
  /** Dot products of four packed bytes. */
  readonly dots: boolean;
}

export interface Kernel { readonly pipeline: GPUComputePipeline; readonly layout: GPUBindGroupLayout }

/** A kernel with its buffers bound, and how many workgroups of it run. */
export interface Step { readonly kernel: Kernel; readonly bindings: GPUBindGroup; readonly groups: readonly [x: number, y?: number, z?: number] }

/** Bits of the standard, which not every place that has devices names. */
export const usage = { mapRead: 1, copySource: 4, copyTarget: 8, uniform: 64, storage: 128 } as const;

/** Steps that are handed to the device together. */
const atOnce = 40;

/** Lost because the owner destroyed it: nothing went wrong. */
const ended = 'destroyed';

export class Gpu {
  readonly device: GPUDevice;
  readonly able: GpuAbilities;
  /** The adapter in words. */
  readonly name: string;
  #bytes = 0;
  #lost: string | undefined;
  #refused: string | undefined;
  readonly #kernels = new Map<string, Kernel>();

  private constructor(device: GPUDevice, able: GpuAbilities, name: string) {
    this.device = device;
    this.able = able;
    this.name = name;
    // What a device refuses, memory above all, it tells nobody who asked: results would be zeros.
    device.addEventListener('uncapturederror', (event) => { this.#refused ??= (event as GPUUncapturedErrorEvent).error.message.split('\n', 1)[0]; });
    void device.lost.then(({ reason, message }) => { this.#lost = message === '' ? reason : message.split('\n', 1)[0]; });
  }

  /** A device of the machine's fastest adapter; `without` leaves abilities unused, so that their other paths run. */
  static async open({ gpu = globalThis.navigator?.gpu, without = [] }: { readonly gpu?: GPU | null; readonly without?: readonly (keyof GpuAbilities)[] } = {}): Promise<Gpu> {
    if (gpu === undefined || gpu === null) throw errors.none({ reason: 'there is no navigator.gpu' });
    let adapter: GPUAdapter | null;
    try {
      adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' });
    } catch (error) {
      throw errors.none({ reason: (error as Error).message });
    }
    if (adapter === null) throw errors.none({ reason: 'no adapter answers' });
    const able: GpuAbilities = {
      half: adapter.features.has('shader-f16') && !without.includes('half'),
      subgroups: adapter.features.has('subgroups') && !without.includes('subgroups'),
      dots: gpu.wgslLanguageFeatures?.has('packed_4x8_integer_dot_product') === true && !without.includes('dots'),
    };
    const { maxStorageBufferBindingSize, maxBufferSize, maxComputeWorkgroupStorageSize, maxComputeInvocationsPerWorkgroup, maxComputeWorkgroupSizeX, maxStorageBuffersPerShaderStage } = adapter.limits;
    const timing = adapter.features.has('timestamp-query');
    try {
      const device = await adapter.requestDevice({
        requiredFeatures: [...(able.half ? ['shader-f16'] : []), ...(able.subgroups ? ['subgroups'] : []), ...(timing ? ['timestamp-query'] : [])] as GPUFeatureName[],
        requiredLimits: { maxStorageBufferBindingSize, maxBufferSize, maxComputeWorkgroupStorageSize, maxComputeInvocationsPerWorkgroup, maxComputeWorkgroupSizeX, maxStorageBuffersPerShaderStage },
      });
      const { vendor, architecture, description } = adapter.info;
      return new Gpu(device, able, [vendor, architecture, description].filter((word) => word !== '').join(' '));
    } catch (error) {
      throw errors.none({ reason: (error as Error).message });
    }
  }

  /** Bytes of the buffers made so far. */
  get bytes(): number { return this.#bytes; }
  get workgroupBytes(): number { return this.device.limits.maxComputeWorkgroupStorageSize; }
  get workgroupThreads(): number { return this.device.limits.maxComputeInvocationsPerWorkgroup; }

  /** A buffer of zeros that kernels read and write, or one that holds `data`. */
  buffer(what: string, size: number | ArrayBufferView, use: number = usage.storage): GPUBuffer {
    const wanted = typeof size === 'number' ? size : size.byteLength;
    const limit = Math.min(this.device.limits.maxBufferSize, this.device.limits.maxStorageBufferBindingSize);
    if (wanted > limit) throw errors.buffer({ what, bytes: wanted, limit });
    // Loads of 16 bytes at the end of a buffer stay inside of it.
    const bytes = Math.max(16, Math.ceil(wanted / 16) * 16);
    const made = this.device.createBuffer({ label: what, size: bytes, usage: use | usage.copyTarget | usage.copySource });
    this.#bytes += bytes;
    if (typeof size !== 'number') this.write(made, 0, size);
    return made;
  }

  /** Bytes, whole words of them, into a buffer. */
  write(to: GPUBuffer, at: number, data: ArrayBufferView): void {
    const { byteLength } = data;
    if (byteLength % 4 === 0) return this.device.queue.writeBuffer(to, at, data.buffer as ArrayBuffer, data.byteOffset, byteLength);
    const whole = new Uint8Array(Math.ceil(byteLength / 4) * 4);
    whole.set(new Uint8Array(data.buffer, data.byteOffset, byteLength));
    this.device.queue.writeBuffer(to, at, whole);
  }

  /** The kernel of a source: `main`, with its bindings counted from 0 in one group. */
  kernel(code: string): Kernel {
    let made = this.#kernels.get(code);
    if (made === undefined) {
      const enables = [...(/\bf16\b/.test(code) ? ['f16'] : []), ...(code.includes('subgroup_size') ? ['subgroups'] : [])];
      const module = this.device.createShaderModule({ code: enables.map((name) => `enable ${name};\n`).join('') + code });
      const pipeline = this.device.createComputePipeline({ layout: 'auto', compute: { module, entryPoint: 'main' } });
      made = { pipeline, layout: pipeline.getBindGroupLayout(0) };
      this.#kernels.set(code, made);
    }
    return made;
  }

  step(code: string, buffers: readonly GPUBuffer[], ...groups: [x: number, y?: number, z?: number]): Step {
    const kernel = this.kernel(code);
    return { kernel, groups, bindings: this.device.createBindGroup({ layout: kernel.layout, entries: buffers.map((buffer, binding) => ({ binding, resource: { buffer } })) }) };
  }

  /** Hands steps to the device, in order, and copies after them. */
  run(steps: readonly Step[], copies: readonly { readonly from: GPUBuffer; readonly at: number; readonly to: GPUBuffer; readonly bytes: number }[] = []): void {
    this.check();
    // In pieces: the device begins while the rest is written down.
    for (let first = 0; first === 0 || first < steps.length; first += atOnce) {
      const encoder = this.device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      let last: GPUComputePipeline | undefined;
      for (const { kernel, bindings, groups } of steps.slice(first, first + atOnce)) {
        if (kernel.pipeline !== last) pass.setPipeline(kernel.pipeline);
        last = kernel.pipeline;
        pass.setBindGroup(0, bindings);
        pass.dispatchWorkgroups(...groups);
      }
      pass.end();
      if (first + atOnce >= steps.length) for (const { from, at, to, bytes } of copies) encoder.copyBufferToBuffer(from, at, to, 0, bytes);
      this.device.queue.submit([encoder.finish()]);
    }
  }

  /** A buffer that the CPU reads results from. */
  landing(bytes: number): GPUBuffer {
    return this.device.createBuffer({ size: bytes, usage: usage.mapRead | usage.copyTarget });
  }

  /** What landed, once the device is done. */
  async landed(landing: GPUBuffer, bytes: number): Promise<ArrayBuffer> {
    try {
      await landing.mapAsync(usage.mapRead, 0, bytes);
    } catch (error) {
      // Reasons arrive after what they break.
      await Promise.race([this.device.lost, new Promise((resolve) => setTimeout(resolve, 100))]);
      this.check();
      throw errors.lost({ reason: (error as Error).message });
    }
    const values = landing.getMappedRange(0, bytes).slice(0);
    landing.unmap();
    this.check();
    return values;
  }

  /** The first bytes of a buffer. */
  async read(from: GPUBuffer, bytes: number, at = 0): Promise<ArrayBuffer> {
    const landing = this.landing(bytes);
    this.run([], [{ from, at, to: landing, bytes }]);
    const values = await this.landed(landing, bytes);
    landing.destroy();
    return values;
  }

  /** Throws where the device is gone, or refused what it was given. */
  check(): void {
    if (this.#lost !== undefined) throw errors.lost({ reason: this.#lost });
    if (this.#refused !== undefined) throw errors.failed({ reason: this.#refused });
  }

  /** Waits for what was handed over, and throws where it failed. */
  async settled(): Promise<void> {
    await this.device.queue.onSubmittedWorkDone();
    this.check();
  }

  dispose(): void {
    this.#lost ??= ended;
    this.device.destroy();
  }
}
