"""What lifecycle decides; pure."""
