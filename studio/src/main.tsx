import { createRoot } from 'react-dom/client';
import { App } from './app.tsx';
import './styles.css';

createRoot(document.getElementById('app')!).render(<App />);

// Pages without https from elsewhere have none, and work all the same while there is a network.
if (import.meta.env.PROD) void navigator.serviceWorker?.register('./sw.js').catch(() => {});
