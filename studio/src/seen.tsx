/** Before and after on single samples: pictures beside each other with their difference, or the likeliest classes. */
import { useEffect, useState, type ReactNode } from 'react';
import type { SeenSample } from './protocol.ts';

function Picture({ blob, label }: { readonly blob: Blob; readonly label: string }): ReactNode {
  const [url, setUrl] = useState<string>();
  useEffect(() => {
    const made = URL.createObjectURL(blob);
    setUrl(made);
    return () => URL.revokeObjectURL(made);
  }, [blob]);
  return url === undefined ? null : <img src={url} alt={label} />;
}

export function SeenSamples({ samples }: { readonly samples: readonly SeenSample[] }): ReactNode {
  return samples.map(({ name, answers }) => (
    <section key={name} className="seen" aria-label={name}>
      <h4>{name}</h4>
      <div className="answers">
        {answers.map(({ model, classes, image, difference, psnr }) => (
          <figure key={model}>
            <figcaption>{model}{psnr === undefined ? '' : psnr === Infinity ? ': the same picture' : `: ${psnr.toFixed(1)} dB to the float model’s`}</figcaption>
            {image !== undefined && <Picture blob={image} label={`output of ${model}`} />}
            {difference !== undefined && <><Picture blob={difference} label={`difference of ${model} to the float model, eight times as strong`} /><p className="hint">difference, eight times as strong</p></>}
            {classes !== undefined && (
              <table>
                <tbody>
                  {classes.map(({ label, probability }) => (
                    <tr key={label}><td>{label}</td><td className="number">{(100 * probability).toFixed(1)} %</td><td className="bar" aria-hidden="true"><span style={{ width: `${100 * probability}%` }} /></td></tr>
                  ))}
                </tbody>
              </table>
            )}
          </figure>
        ))}
      </div>
    </section>
  ));
}
