// The audio thread, for which TypeScript has no words:
// https://webaudio.github.io/web-audio-api/#AudioWorkletGlobalScope-interface

declare const sampleRate: number;
declare class AudioWorkletProcessor {
  readonly port: MessagePort;
}
declare function registerProcessor(name: string, processor: new (options: any) => AudioWorkletProcessor): void;
