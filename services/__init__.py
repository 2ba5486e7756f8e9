"""The services and the machinery they share; they meet only over HTTP and Kafka."""
